// The ReLU after a product, done block by block while c is in a cache. The kernels are those of the separate ops, so
// the bits are theirs.
#pragma once

#include "ops/product.h"
#include "table/kernel_table.h"
#include "relu_layers/views.h"

namespace relu_layers::ops {

// The matrix becomes what `relu` makes of it: the ReLU's output, or, where relu.output is given, the gradient of the input of
// the ReLU that had this output. Whichever axis of it is contiguous.
template <class T>
void rectify(const KernelTable<T>& kernel, const FusedRelu<T>& relu, const Matrix<T>& matrix) {
    if (!relu.on) return;
    Matrix<T> c = matrix;
    Matrix<const T> x = relu.output;
    if (c.col_stride != 1 && c.row_stride == 1) {
        c = transposed(c);
        x = transposed(x);
    }
    const bool backward = x.data != nullptr;
    const bool x_rows = x.col_stride == 1 || c.cols == 1;
    if (c.row_stride == c.cols && (!backward || (x_rows && x.row_stride == c.cols))) {
        c.cols *= c.rows;
        c.rows = 1;
    }
    for (index_t i = 0; i < c.rows; ++i) {
        T* row = c.data + i * c.row_stride;
        const T* from = x.data + i * x.row_stride;
        if (!backward) kernel.relu_forward(row, row, c.cols, false, relu.negative_slope);
        else if (x_rows) kernel.relu_backward(from, row, row, c.cols, false, relu.negative_slope);
        else
            for (index_t j = 0; j < c.cols; ++j)
                kernel.relu_backward(from + j * x.col_stride, row + j, row + j, 1, false, relu.negative_slope);
    }
}

// The same of the rows from i and the columns from j on.
template <class T>
FusedRelu<T> part_of(FusedRelu<T> relu, index_t i, index_t j) {
    if (relu.output.data != nullptr) relu.output.data += i * relu.output.row_stride + j * relu.output.col_stride;
    return relu;
}

}  // namespace relu_layers::ops
