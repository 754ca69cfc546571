// ReLU with a slope, as Caffe's relu_layer.cpp:
//   forward   y = x where x > 0, negative_slope * x where x <= 0
//   backward  dx = dy where x > 0, negative_slope * dy where x <= 0
// At the kink x = 0 the derivative is negative_slope, by convention. Both are selects, never a product with a mask:
// with slope 0 a gradient of inf at x < 0 is 0, and y is 0 at x = -inf, where Caffe computes -inf * 0 = NaN. NaN is on
// neither side: y is NaN, and dx is dy for every slope. y may be x (negative_slope >= 0: the sign of y still tells x's),
// dx may be dy. Slope 0 is a loop of its own: with a product in it, it would have a third more instructions.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void relu_forward(const T* x, T* y, index_t n, bool streaming, T negative_slope) {
    const V zero = broadcast(T(0));
    const V slope = broadcast(negative_slope);
    if (negative_slope == T(0)) map_vectors(x, y, n, streaming, [=](V v) { return v < zero ? zero : v; });
    else map_vectors(x, y, n, streaming, [=](V v) { return v > zero ? v : v * slope; });
}

void relu_backward(const T* x, const T* dy, T* dx, index_t n, bool streaming, T negative_slope) {
    const V zero = broadcast(T(0));
    const V slope = broadcast(negative_slope);
    if (negative_slope == T(0)) map_vectors(x, dy, dx, n, streaming, [=](V v, V g) { return v <= zero ? zero : g; });
    else map_vectors(x, dy, dx, n, streaming, [=](V v, V g) { return v <= zero ? g * slope : g; });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
