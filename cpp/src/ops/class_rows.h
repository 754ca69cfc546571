// Rows of classes that do not lie side by side: an array (outer, classes, inner) has outer * inner of them. They are handled a
// block at a time through scratch. Also the grain at which rows are split over threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "relu_layers/parallel.h"

namespace relu_layers::ops {

// Rows of classes that one block holds: enough to fill cache lines when gathering, few enough to stay in the cache.
constexpr index_t class_rows_block = 32;

inline index_t rows_per_task(index_t classes) { return std::max<index_t>(1, 4096 / std::max<index_t>(1, classes)); }

// The calling thread's scratch for `arrays` blocks.
template <class T>
T* class_rows(index_t classes, index_t arrays) {
    return static_cast<T*>(
        scratch(Scratch::rows, sizeof(T) * static_cast<std::size_t>(class_rows_block * classes * arrays)));
}

// Makes sure that memory for a block can be had before anything is written.
template <class T>
void reserve_class_rows(index_t classes, index_t arrays) {
    class_rows<T>(classes, arrays);
}

template <class Run>
void for_class_rows(index_t begin, index_t end, Run&& run) {
    for (index_t first = begin; first < end; first += class_rows_block)
        run(first, std::min(class_rows_block, end - first));
}

// Copies rows [first, first + rows) of the outer * inner rows of classes of x into packed (rows, classes).
template <class T>
void gather_classes(Rows<const T> x, index_t inner, index_t first, index_t rows, T* packed) {
    const index_t classes = x.cols / inner;
    for (index_t r = 0; r < rows; ++r) {
        const T* from = x.row((first + r) / inner) + (first + r) % inner;
        for (index_t c = 0; c < classes; ++c) packed[r * classes + c] = from[c * inner];
    }
}

template <class T>
void scatter_classes(const T* packed, Rows<T> x, index_t inner, index_t first, index_t rows) {
    const index_t classes = x.cols / inner;
    for (index_t r = 0; r < rows; ++r) {
        T* to = x.row((first + r) / inner) + (first + r) % inner;
        for (index_t c = 0; c < classes; ++c) to[c * inner] = packed[r * classes + c];
    }
}

}  // namespace relu_layers::ops
