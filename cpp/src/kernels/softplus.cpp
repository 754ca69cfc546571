// Softplus (Dugas et al. 2001), log(1 + exp(x)) without overflow:
//   forward   y = max(x, 0) + log(1 + exp(-|x|));  backward  dx = dy * (1 - exp(-y)), from the output
// y may be x, dx may be dy. 1 - exp(-y) is 1 / (1 + exp(-x)), and keeps its digits where y is small. y is 0 at -inf.
// NaN passes through.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void softplus_forward(const T* x, T* y, index_t n, bool streaming) {
    const V zero = broadcast(T(0));
    map_vectors(x, y, n, streaming, [=](V v) {
        const V rest = log_one_plus<T>(exponential_of_negative<T>(-absolute(v)));
        return v > zero ? v + rest : rest;
    });
}

void softplus_backward(const T* y, const T* dy, T* dx, index_t n, bool streaming) {
    const V zero = broadcast(T(0));
    map_vectors(y, dy, dx, n, streaming, [=](V v, V g) {
        const V positive = v < zero ? zero : v;  // no y is below 0
        return g * -exponential_minus_one<T>(-positive);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
