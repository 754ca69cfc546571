#include <cmath>
#include <cstdint>

#include "ops/elementwise.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {

template <class T>
void relu_forward(Rows<const T> x, T negative_slope, T* y) {
    map1(x, y, 0.1, kernels<T>().relu_forward, negative_slope);
}
template <class T>
void relu_backward(Rows<const T> x, Rows<const T> dy, T negative_slope, T* dx) {
    map2(x, dy, dx, 0.15, kernels<T>().relu_backward, negative_slope);
}

template <class T>
void threshold_forward(Rows<const T> x, T threshold, T value, T* y) {
    map1(x, y, 0.1, kernels<T>().threshold_forward, threshold, value);
}
template <class T>
void threshold_backward(Rows<const T> x, Rows<const T> dy, T threshold, T* dx) {
    map2(x, dy, dx, 0.15, kernels<T>().threshold_backward, threshold);
}

template <class T>
void elu_forward(Rows<const T> x, T alpha, T* y) {
    map1(x, y, 0.5, kernels<T>().elu_forward, alpha);
}
template <class T>
void elu_backward(Rows<const T> y, Rows<const T> dy, T alpha, T* dx) {
    map2(y, dy, dx, 0.15, kernels<T>().elu_backward, alpha);
}

template <class T>
void sigmoid_forward(Rows<const T> x, T* y) {
    map1(x, y, 0.6, kernels<T>().sigmoid_forward);
}
template <class T>
void sigmoid_backward(Rows<const T> y, Rows<const T> dy, T* dx) {
    map2(y, dy, dx, 0.15, kernels<T>().sigmoid_backward);
}

template <class T>
void silu_forward(Rows<const T> x, T* y) {
    map1(x, y, 0.6, kernels<T>().silu_forward);
}
template <class T>
void silu_backward(Rows<const T> x, Rows<const T> dy, T* dx) {
    map2(x, dy, dx, 0.7, kernels<T>().silu_backward);
}

template <class T>
void gelu_forward(Rows<const T> x, T* y) {
    map1(x, y, 1.0, kernels<T>().gelu_forward);
}
template <class T>
void gelu_backward(Rows<const T> x, Rows<const T> dy, T* dx) {
    map2(x, dy, dx, 1.0, kernels<T>().gelu_backward);
}
template <class T>
void gelu_tanh_forward(Rows<const T> x, T* y) {
    map1(x, y, 0.7, kernels<T>().gelu_tanh_forward);
}
template <class T>
void gelu_tanh_backward(Rows<const T> x, Rows<const T> dy, T* dx) {
    map2(x, dy, dx, 0.8, kernels<T>().gelu_tanh_backward);
}

template <class T>
void clip_forward(Rows<const T> x, T minimum, T maximum, T* y) {
    map1(x, y, 0.1, kernels<T>().clip_forward, minimum, maximum);
}
template <class T>
void clip_backward(Rows<const T> y, Rows<const T> dy, T minimum, T maximum, T* dx) {
    map2(y, dy, dx, 0.15, kernels<T>().clip_backward, minimum, maximum);
}

template <class T>
void selu_forward(Rows<const T> x, T* y) {
    map1(x, y, 0.5, kernels<T>().selu_forward);
}
template <class T>
void selu_backward(Rows<const T> y, Rows<const T> dy, T* dx) {
    map2(y, dy, dx, 0.15, kernels<T>().selu_backward);
}

template <class T>
void softplus_forward(Rows<const T> x, T* y) {
    map1(x, y, 1.0, kernels<T>().softplus_forward);
}
template <class T>
void softplus_backward(Rows<const T> y, Rows<const T> dy, T* dx) {
    map2(y, dy, dx, 0.5, kernels<T>().softplus_backward);
}

template <class T>
void tanh_forward(Rows<const T> x, T* y) {
    map1(x, y, 0.6, kernels<T>().tanh_forward);
}
template <class T>
void tanh_backward(Rows<const T> y, Rows<const T> dy, T* dx) {
    map2(y, dy, dx, 0.15, kernels<T>().tanh_backward);
}

template <class T>
void dropout(Rows<const T> x, double rate, std::uint64_t key, std::uint64_t counter, T* y) {
    const auto kernel = kernels<T>().dropout;
    const auto threshold = static_cast<std::uint32_t>(std::floor(rate * 4294967296.0));
    const T scale = static_cast<T>(1.0 / (1.0 - rate));
    for_pieces(x, x.contiguous(), 0.6, [=](index_t row, index_t begin, index_t n) {
        const index_t first = row * x.cols + begin;
        kernel(x.row(row) + begin, y + first, n, static_cast<std::uint64_t>(first), threshold, scale, key, counter);
    });
}

#define RELU_LAYERS_INSTANTIATE(T)                                         \
    template void relu_forward(Rows<const T>, T, T*);                      \
    template void relu_backward(Rows<const T>, Rows<const T>, T, T*);      \
    template void threshold_forward(Rows<const T>, T, T, T*);              \
    template void threshold_backward(Rows<const T>, Rows<const T>, T, T*); \
    template void elu_forward(Rows<const T>, T, T*);                       \
    template void elu_backward(Rows<const T>, Rows<const T>, T, T*);       \
    template void sigmoid_forward(Rows<const T>, T*);                      \
    template void sigmoid_backward(Rows<const T>, Rows<const T>, T*);      \
    template void silu_forward(Rows<const T>, T*);                         \
    template void silu_backward(Rows<const T>, Rows<const T>, T*);         \
    template void gelu_forward(Rows<const T>, T*);                         \
    template void gelu_backward(Rows<const T>, Rows<const T>, T*);         \
    template void gelu_tanh_forward(Rows<const T>, T*);                    \
    template void gelu_tanh_backward(Rows<const T>, Rows<const T>, T*);    \
    template void clip_forward(Rows<const T>, T, T, T*);                   \
    template void clip_backward(Rows<const T>, Rows<const T>, T, T, T*);   \
    template void selu_forward(Rows<const T>, T*);                         \
    template void selu_backward(Rows<const T>, Rows<const T>, T*);         \
    template void softplus_forward(Rows<const T>, T*);                     \
    template void softplus_backward(Rows<const T>, Rows<const T>, T*);     \
    template void tanh_forward(Rows<const T>, T*);                         \
    template void tanh_backward(Rows<const T>, Rows<const T>, T*);         \
    template void dropout(Rows<const T>, double, std::uint64_t, std::uint64_t, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
