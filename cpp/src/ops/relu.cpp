#include "ops/elementwise.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {

template <class T>
void relu_forward(Rows<const T> x, T negative_slope, T* y) {
    const auto kernel = kernels<T>().relu_forward;
    map1(x, y, 0.1,
         [=](const T* xs, T* ys, index_t n, bool streaming) { kernel(xs, ys, n, negative_slope, streaming); });
}

template <class T>
void relu_backward(Rows<const T> x, Rows<const T> dy, T negative_slope, T* dx) {
    const auto kernel = kernels<T>().relu_backward;
    map2(x, dy, dx, 0.15, [=](const T* xs, const T* dys, T* dxs, index_t n, bool streaming) {
        kernel(xs, dys, dxs, n, negative_slope, streaming);
    });
}

template void relu_forward(Rows<const float>, float, float*);
template void relu_forward(Rows<const double>, double, double*);
template void relu_backward(Rows<const float>, Rows<const float>, float, float*);
template void relu_backward(Rows<const double>, Rows<const double>, double, double*);

}  // namespace relu_layers::ops
