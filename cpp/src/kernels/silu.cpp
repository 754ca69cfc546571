// Sigmoid linear unit (Hendrycks and Gimpel 2016; Ramachandran et al. 2017 as swish), s = 1 / (1 + exp(-x)):
//   forward   y = x * s;  backward  dx = dy * s * (1 + x * (1 - s)), from the input: two x share one y
// y may not be x, dx may be dy. Infinity is taken as the limit: y = -0 and dx = -0 * dy at -inf, dx = dy at +inf; for
// that x is limited to where exp(-|x|) is 0 already. NaN passes through.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void silu_forward(const T* x, T* y, index_t n, bool streaming) {
    const V lowest = broadcast(MathConstants<T>::exp_lowest);
    map_vectors(x, y, n, streaming, [=](V v) { return greater_of(lowest, v) * logistic<T>(v); });
}

void silu_backward(const T* x, const T* dy, T* dx, index_t n, bool streaming) {
    const V one = broadcast(T(1));
    const V lowest = broadcast(MathConstants<T>::exp_lowest);
    map_vectors(x, dy, dx, n, streaming, [=](V v, V g) {
        const V limited = lesser_of(-lowest, greater_of(lowest, v));
        const V e = exponential_of_negative<T>(-absolute(limited));
        const V larger = one / (e + one);
        const V smaller = e * larger;
        const V s = v < T(0) ? smaller : larger;
        const V rest = v < T(0) ? larger : smaller;
        return g * (s * fma(limited, rest, one));
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
