// Scaled exponential linear unit (Klambauer et al. 2017), with the paper's constants s = 1.0507... and a = 1.6732...:
//   forward   y = s * x where x > 0, s * a * (exp(x) - 1) elsewhere
//   backward  dx = s * dy where y > 0, dy * (y + s * a) elsewhere: from the output, whose sign is x's
// y may be x, dx may be dy. At 0 the derivative is s * a. NaN passes through.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr double selu_scale = 1.0507009873554805;
constexpr double selu_lowest = 1.7580993408473766;  // s * a

}  // namespace

void selu_forward(const T* x, T* y, index_t n, bool streaming) {
    const V zero = broadcast(T(0));
    map_vectors(x, y, n, streaming, [=](V v) {
        const V negative = exponential_minus_one<T>(v > zero ? zero : v) * T(selu_lowest);
        return v > zero ? v * T(selu_scale) : negative;
    });
}

void selu_backward(const T* y, const T* dy, T* dx, index_t n, bool streaming) {
    const V zero = broadcast(T(0));
    map_vectors(y, dy, dx, n, streaming,
                [=](V v, V g) { return v > zero ? g * T(selu_scale) : g * (v + T(selu_lowest)); });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
