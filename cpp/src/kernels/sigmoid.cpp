// Logistic function, from exp(-|x|) so that nothing overflows:
//   forward   y = 1 / (1 + exp(-x));  backward  dx = dy * y * (1 - y), from the output
// y may be x, dx may be dy. NaN passes through.
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void sigmoid_forward(const T* x, T* y, index_t n, bool streaming) {
    for_each_vector_to(y, n, streaming,
                       [&](index_t i, auto lanes) { put(y + i, logistic<T>(get(x + i, lanes)), lanes); });
}

void sigmoid_backward(const T* y, const T* dy, T* dx, index_t n, bool streaming) {
    const V one = broadcast(T(1));
    for_each_vector_to(dx, n, streaming, [&](index_t i, auto lanes) {
        const V v = get(y + i, lanes);
        put(dx + i, get(dy + i, lanes) * (v * (one - v)), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
