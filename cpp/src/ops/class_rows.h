// Rows of classes: an array (outer, classes, inner) holds outer * inner of them, numbered in that order. With inner 1
// their classes lie side by side; otherwise rows do, in slabs of `inner`.
#pragma once

#include <algorithm>

#include "table/arguments.h"

namespace relu_layers::ops {

// How finely rows are split over threads: some 4096 elements, in whole cache lines where rows lie side by side.
inline index_t rows_per_task(index_t classes, index_t inner) {
    const index_t rows = std::max<index_t>(1, 4096 / std::max<index_t>(1, classes));
    return inner == 1 ? rows : (rows + 15) / 16 * 16;
}

// `count` rows from row `first` on, all of one slab, of an array whose rows (classes * inner) are a view's.
template <class T>
ClassRows<T> class_rows(const Rows<T>& a, index_t inner, index_t first, index_t count) {
    if (inner == 1) return {a.row(first), count, a.cols, a.stride, 1};
    return {a.row(first / inner) + first % inner, count, a.cols / inner, 1, inner};
}

// Calls run(first, count) for the pieces of rows [begin, end) that share a slab; with inner 1 all rows do.
template <class Run>
void for_row_pieces(index_t begin, index_t end, index_t inner, Run&& run) {
    while (begin < end) {
        const index_t count = inner == 1 ? end - begin : std::min(inner - begin % inner, end - begin);
        run(begin, count);
        begin += count;
    }
}

}  // namespace relu_layers::ops
