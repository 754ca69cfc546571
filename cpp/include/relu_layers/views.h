// Views of contiguous row-major memory, for callers outside; types.h says what a view is.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers {

// A (rows, cols) array for the ops that go row by row.
template <class T>
Rows<const T> rows_of(const T* data, index_t rows, index_t cols) {
    return {data, rows, cols, cols};
}

// All numbers of a contiguous array of any shape.
template <class T>
Rows<const T> flat(const T* data, index_t size) {
    return {data, 1, size, size};
}

// A (rows, cols) array for the products.
template <class T>
Matrix<const T> matrix_of(const T* data, index_t rows, index_t cols) {
    return {data, rows, cols, cols, 1};
}

// The same memory, rows and columns exchanged.
template <class T>
Matrix<T> transposed(Matrix<T> matrix) {
    return {matrix.data, matrix.cols, matrix.rows, matrix.col_stride, matrix.row_stride};
}

}  // namespace relu_layers
