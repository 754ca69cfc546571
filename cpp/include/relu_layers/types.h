// The few plain types that every other header shares. No Python, no vector width, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>

// What kernels call is inlined everywhere: a copy compiled for one target must never serve another.
#if defined(_MSC_VER) && !defined(__clang__)
#define RELU_LAYERS_INLINE __forceinline
#else
#define RELU_LAYERS_INLINE inline __attribute__((always_inline))
#endif

namespace relu_layers {

using index_t = std::ptrdiff_t;

// A matrix whose rows are contiguous; consecutive rows start `stride` elements apart (any sign). A contiguous array of
// any shape is Rows{data, 1, size, size}.
template <class T>
struct Rows {
    T* data;
    index_t rows;
    index_t cols;
    index_t stride;

    RELU_LAYERS_INLINE T* row(index_t i) const { return data + i * stride; }
    RELU_LAYERS_INLINE bool contiguous() const { return rows <= 1 || stride == cols; }
};

// A matrix with any strides, in elements: a transpose is the same memory with the strides exchanged.
template <class T>
struct Matrix {
    T* data;
    index_t rows;
    index_t cols;
    index_t row_stride;
    index_t col_stride;
};

// What a sum of losses is divided by; the fixed vocabulary of the `normalization` arguments.
enum class Normalization { valid, full, batch_size, none };

// Which penalty `weight_decay` stands for: decay * w, or decay * sign(w).
enum class Regularization { l2, l1 };

// The gradient that an update uses: grad * grad_scale + weight_decay * w, or + weight_decay * sign(w).
template <class T>
struct GradientRule {
    T grad_scale;
    T weight_decay;
    Regularization regularization;
};

// A leaky ReLU next to a product, done while the numbers are at hand.
template <class T>
struct Rectifier {
    bool on;
    T negative_slope;
};

// Adam's numbers, computed in double by the caller: 1 - beta in float32 would lose digits.
template <class T>
struct AdamRule {
    T beta1, one_minus_beta1, beta2, one_minus_beta2;
    T step_size;  // w -= step_size * m / (sqrt(v) * denominator_scale + epsilon)
    T denominator_scale;
    T epsilon;
    T shrink;  // AdamW: w *= shrink first; 1 for Adam
};

}  // namespace relu_layers
