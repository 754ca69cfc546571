#include <cmath>
#include <cstdint>

#include "ops/elementwise.h"
#include "ops/instantiate.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {

// The op of a kernel: its parameters as ops.h has them, the nanoseconds that an element takes, and the numbers of the
// formula. The state of a backward pass is what its forward took or gave.
#define RELU_LAYERS_FORWARD(name, parameters, ...)  \
    template <class T>                              \
    void name parameters {                          \
        map1(kernels<T>().name, x, y, __VA_ARGS__); \
    }                                               \
    RELU_LAYERS_INSTANTIATE(name)
#define RELU_LAYERS_BACKWARD(name, parameters, ...)          \
    template <class T>                                       \
    void name parameters {                                   \
        map2(kernels<T>().name, state, dy, dx, __VA_ARGS__); \
    }                                                        \
    RELU_LAYERS_INSTANTIATE(name)

RELU_LAYERS_FORWARD(relu_forward, (const Rows<const T>& x, T negative_slope, T* y), 0.1, negative_slope)
RELU_LAYERS_BACKWARD(relu_backward, (const Rows<const T>& state, const Rows<const T>& dy, T negative_slope, T* dx),
                     0.15, negative_slope)
RELU_LAYERS_FORWARD(threshold_forward, (const Rows<const T>& x, T threshold, T value, T* y), 0.1, threshold, value)
RELU_LAYERS_BACKWARD(threshold_backward, (const Rows<const T>& state, const Rows<const T>& dy, T threshold, T* dx),
                     0.15, threshold)
RELU_LAYERS_FORWARD(elu_forward, (const Rows<const T>& x, T alpha, T* y), 0.5, alpha)
RELU_LAYERS_BACKWARD(elu_backward, (const Rows<const T>& state, const Rows<const T>& dy, T alpha, T* dx), 0.15, alpha)
RELU_LAYERS_FORWARD(sigmoid_forward, (const Rows<const T>& x, T* y), 0.6)
RELU_LAYERS_BACKWARD(sigmoid_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 0.15)
RELU_LAYERS_FORWARD(silu_forward, (const Rows<const T>& x, T* y), 0.6)
RELU_LAYERS_BACKWARD(silu_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 0.7)
RELU_LAYERS_FORWARD(gelu_forward, (const Rows<const T>& x, T* y), 1.0)
RELU_LAYERS_BACKWARD(gelu_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 1.0)
RELU_LAYERS_FORWARD(gelu_tanh_forward, (const Rows<const T>& x, T* y), 0.7)
RELU_LAYERS_BACKWARD(gelu_tanh_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 0.8)
RELU_LAYERS_FORWARD(clip_forward, (const Rows<const T>& x, T minimum, T maximum, T* y), 0.1, minimum, maximum)
RELU_LAYERS_BACKWARD(clip_backward, (const Rows<const T>& state, const Rows<const T>& dy, T minimum, T maximum, T* dx),
                     0.15, minimum, maximum)
RELU_LAYERS_FORWARD(selu_forward, (const Rows<const T>& x, T* y), 0.5)
RELU_LAYERS_BACKWARD(selu_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 0.15)
RELU_LAYERS_FORWARD(softplus_forward, (const Rows<const T>& x, T* y), 1.0)
RELU_LAYERS_BACKWARD(softplus_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 0.5)
RELU_LAYERS_FORWARD(tanh_forward, (const Rows<const T>& x, T* y), 0.6)
RELU_LAYERS_BACKWARD(tanh_backward, (const Rows<const T>& state, const Rows<const T>& dy, T* dx), 0.15)

template <class T>
void dropout(const Rows<const T>& x, double rate, std::uint64_t key, std::uint64_t counter, T* y) {
    const auto kernel = kernels<T>().dropout;
    const auto threshold = static_cast<std::uint32_t>(std::floor(rate * 4294967296.0));
    const T scale = static_cast<T>(1.0 / (1.0 - rate));
    for_pieces(x, x.contiguous(), 0.6, [=](index_t row, index_t begin, index_t n) {
        const index_t first = row * x.cols + begin;
        kernel(x.row(row) + begin, y + first, n, static_cast<std::uint64_t>(first), threshold, scale, key, counter);
    });
}

RELU_LAYERS_INSTANTIATE(dropout)

}  // namespace relu_layers::ops
