// Exponential linear unit (Clevert et al. 2016; Caffe's ELU), alpha >= 0:
//   forward   y = x where x > 0, alpha * (exp(x) - 1) elsewhere
//   backward  dx = dy where y > 0, dy * (y + alpha) elsewhere: from the output, whose sign is x's
// y may be x, dx may be dy. At 0 the derivative is alpha. NaN passes through.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void elu_forward(const T* x, T* y, index_t n, bool streaming, T alpha) {
    const V zero = broadcast(T(0));
    map_vectors(x, y, n, streaming, [=](V v) {
        const V negative = exponential_minus_one<T>(v > zero ? zero : v) * alpha;
        return v > zero ? v : negative;
    });
}

void elu_backward(const T* y, const T* dy, T* dx, index_t n, bool streaming, T alpha) {
    const V zero = broadcast(T(0));
    map_vectors(y, dy, dx, n, streaming, [=](V v, V g) { return v > zero ? g : g * (v + alpha); });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
