// Rows of classes: an array (outer, classes, inner) holds outer * inner of them, numbered in that order. With inner 1
// their classes lie side by side; otherwise rows do, in slabs of `inner`, and the kernels named _columns read them
// there.
#pragma once

#include <algorithm>

#include "relu_layers/types.h"

namespace relu_layers::ops {

// How finely rows are split over threads: some 4096 elements, in whole cache lines where rows lie side by side.
inline index_t rows_per_task(index_t classes, index_t inner) {
    const index_t rows = std::max<index_t>(1, 4096 / std::max<index_t>(1, classes));
    return inner == 1 ? rows : (rows + 15) / 16 * 16;
}

// Calls run(slab, column, count, first) for the pieces of rows [begin, end) that share a slab, `first` being the
// piece's first row. With inner 1 all rows are one piece, and `slab` is its first row.
template <class Run>
void for_row_pieces(index_t begin, index_t end, index_t inner, Run&& run) {
    if (inner == 1) {
        run(begin, index_t(0), end - begin, begin);
        return;
    }
    while (begin < end) {
        const index_t column = begin % inner;
        const index_t count = std::min(inner - column, end - begin);
        run(begin / inner, column, count, begin);
        begin += count;
    }
}

}  // namespace relu_layers::ops
