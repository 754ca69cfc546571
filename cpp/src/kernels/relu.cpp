// ReLU with a slope, as Caffe's relu_layer.cpp:
//   forward   y = x where x > 0, negative_slope * x elsewhere
//   backward  dx = dy where x > 0, negative_slope * dy elsewhere
// At the kink x = 0 the derivative is negative_slope, by convention. Both are selects, never a product with a mask: a
// gradient of inf at x < 0 is 0 with slope 0. NaN passes in the forward (x > 0 fails, so slope 0 must not turn it into
// 0) and in the backward with slope 0; with slope 0 and x = -inf, y is 0 where Caffe computes -inf * 0 = NaN. y may be
// x (negative_slope >= 0: the sign of y still tells x's), dx may be dy.
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void relu_forward(const T* x, T* y, index_t n, T negative_slope, bool streaming) {
    const V zero = broadcast(T(0));
    if (negative_slope == T(0)) {
        for_each_vector_to(y, n, streaming, [&](index_t i, auto lanes) {
            const V v = get(x + i, lanes);
            put(y + i, v < zero ? zero : v, lanes);
        });
        return;
    }
    const V slope = broadcast(negative_slope);
    for_each_vector_to(y, n, streaming, [&](index_t i, auto lanes) {
        const V v = get(x + i, lanes);
        put(y + i, v > zero ? v : v * slope, lanes);
    });
}

void relu_backward(const T* x, const T* dy, T* dx, index_t n, T negative_slope, bool streaming) {
    const V zero = broadcast(T(0));
    if (negative_slope == T(0)) {
        for_each_vector_to(dx, n, streaming, [&](index_t i, auto lanes) {
            const V v = get(x + i, lanes);
            put(dx + i, v <= zero ? zero : get(dy + i, lanes), lanes);
        });
        return;
    }
    const V slope = broadcast(negative_slope);
    for_each_vector_to(dx, n, streaming, [&](index_t i, auto lanes) {
        const V g = get(dy + i, lanes);
        put(dx + i, get(x + i, lanes) > zero ? g : g * slope, lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
