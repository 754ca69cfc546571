// One product with a b that was packed once, for many calls, on one thread. The order of operations is blocked.h's, and
// so are the bits.
//
// The panels of rows [0, 512) of b come first, then those of the next 512 rows, and so on: b is read in the order in
// which it lies, once for each `rows_at_once` rows of a.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "ops/blocked.h"
#include "relu_layers/ops.h"
#include "table/kernel_table.h"

namespace relu_layers::ops {

template <class T>
struct PackedProduct {
    Matrix<const T> a;
    const PackedWeight<T>& b;
    const T* bias;
    Rectifier<T> relu;
    T* c;  // contiguous
};

// Columns [first, first + n) of rows [row, row + m) of c; `first` is a multiple of the panel.
template <class T>
void run_packed(const KernelTable<T>& kernel, const PackedProduct<T>& product, index_t row, index_t m, index_t first,
                index_t n) {
    const Matrix<const T>& a = product.a;
    const index_t columns = product.b.weight.cols;
    const index_t padded = rounded_up(columns, product.b.panel);
    const index_t passes = (m + rows_at_once<T> - 1) / rows_at_once<T>;
    const index_t rows = (m + passes - 1) / passes;
    for (index_t i = row; i < row + m; i += rows)
        for (index_t p = 0; p < a.cols; p += block_k) {
            const index_t depth = std::min(block_k, a.cols - p);
            const bool last = p + depth == a.cols;
            const T* from = a.data + i * a.row_stride + p * a.col_stride;
            kernel.gemm_packed({from, std::min(rows, row + m - i), depth, a.row_stride, a.col_stride}, false,
                               product.b.panels + p * padded + first * depth,
                               {product.c + i * columns + first, std::min(rows, row + m - i), n, columns},
                               last && product.bias != nullptr ? product.bias + first : nullptr, p > 0,
                               {last && product.relu.on, product.relu.negative_slope});
        }
}

template <class T>
PackedWeight<T> pack(const KernelTable<T>& kernel, const Matrix<const T>& weight, T* panels) {
    const index_t panel = kernel.gemm_packed_panel;
    const index_t padded = rounded_up(weight.cols, panel);
    std::memset(panels, 0, sizeof(T) * static_cast<std::size_t>(weight.rows * padded));
    for (index_t p = 0; p < weight.rows; p += block_k) {
        Matrix<const T> block = weight;
        block.data += p * weight.row_stride;
        block.rows = std::min(block_k, weight.rows - p);
        kernel.gemm_pack(block, panel, panels + p * padded);
    }
    return {weight, panels, panel};
}

}  // namespace relu_layers::ops
