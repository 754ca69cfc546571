// What kernels take that is no argument of an op.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers {

// Rows of classes, as softmax takes them: either the classes of a row lie side by side (class_stride 1), or rows do
// (row_stride 1). Strides in elements.
template <class T>
struct ClassRows {
    T* data;
    index_t rows;
    index_t classes;
    index_t row_stride;
    index_t class_stride;

    RELU_LAYERS_INLINE T* row(index_t r) const { return data + r * row_stride; }
    RELU_LAYERS_INLINE T* of_class(index_t c) const { return data + c * class_stride; }
    // Rows [first, first + count).
    RELU_LAYERS_INLINE ClassRows part(index_t first, index_t count) const {
        return {row(first), count, classes, row_stride, class_stride};
    }
};

// What the cross entropy wants of every class: (p * keep + spread) * class_weight, p being the given probability or,
// without any, 1 for the label and 0 for other classes.
template <class T>
struct SoftTargets {
    ClassRows<const T> probability;  // of the logits' layout, or without data
    const std::int64_t* label;       // one per row, or null
    const T* class_weight;           // (classes), or null for 1
    T keep;                          // 1 - label smoothing
    T spread;                        // label smoothing / classes
};

}  // namespace relu_layers
