// Hyperbolic tangent, (exp(2|x|) - 1) / (exp(2|x|) + 1) with the sign of x, accurate near 0:
//   forward   y = tanh(x);  backward  dx = dy * (1 - y) * (1 + y), from the output
// y may be x, dx may be dy. NaN passes through.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void tanh_forward(const T* x, T* y, index_t n, bool streaming) {
    map_vectors(x, y, n, streaming, [](V v) { return hyperbolic_tangent<T>(v); });
}

void tanh_backward(const T* y, const T* dy, T* dx, index_t n, bool streaming) {
    const V one = broadcast(T(1));
    map_vectors(y, dy, dx, n, streaming, [=](V v, V g) { return g * ((one - v) * (one + v)); });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
