// Exponential linear unit (Clevert et al. 2016; Caffe's ELU), alpha >= 0:
//   forward   y = x where x > 0, alpha * (exp(x) - 1) elsewhere
//   backward  dx = dy where y > 0, dy * (y + alpha) elsewhere: from the output, whose sign is x's
// y may be x, dx may be dy. At 0 the derivative is alpha. NaN passes through.
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void elu_forward(const T* x, T* y, index_t n, T alpha, bool streaming) {
    const V zero = broadcast(T(0));
    for_each_vector_to(y, n, streaming, [&](index_t i, auto lanes) {
        const V v = get(x + i, lanes);
        const V negative = exponential_minus_one<T>(v > zero ? zero : v) * alpha;
        put(y + i, v > zero ? v : negative, lanes);
    });
}

void elu_backward(const T* y, const T* dy, T* dx, index_t n, T alpha, bool streaming) {
    const V zero = broadcast(T(0));
    for_each_vector_to(dx, n, streaming, [&](index_t i, auto lanes) {
        const V v = get(y + i, lanes);
        const V g = get(dy + i, lanes);
        put(dx + i, v > zero ? g : g * (v + alpha), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
