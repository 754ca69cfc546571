// How an elementwise op meets its kernel: rows one after another, or one long row, split over threads at a fixed grain.
#pragma once

#include "ops/streaming.h"
#include "dispatch/kernels.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {

// Pieces small enough to stay in the cache while several threads share one array.
constexpr index_t elementwise_grain = 4096;

// Calls run(begin, n) with contiguous pieces of a (rows, cols) array: `begin` maps to a pointer by at(view, begin).
// `nanoseconds` is the price of one element.
template <class T, class Run>
void for_pieces(const Rows<const T>& a, bool all_contiguous, double nanoseconds, Run&& run) {
    const index_t total = a.rows * a.cols;
    if (all_contiguous) {
        parallel_for(total, elementwise_grain, nanoseconds * double(total),
                     [&](index_t begin, index_t end) { run(index_t(0), begin, end - begin); });
        return;
    }
    const index_t grain = a.cols > 0 && a.cols < elementwise_grain ? elementwise_grain / a.cols : 1;
    parallel_for(a.rows, grain, nanoseconds * double(total), [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) run(i, index_t(0), a.cols);
    });
}

template <class T>
struct Exactly {
    using Type = T;
};

// One input, one contiguous output: kernel(x piece, y piece, n, streaming, scalars...).
template <class T, class... Scalar>
void map1(void (*kernel)(const T*, T*, index_t, bool, Scalar...), const Rows<const T>& x, T* y, double nanoseconds,
          typename Exactly<Scalar>::Type... scalars) {
    const bool streaming = y != x.data && x.contiguous() && beyond_caches<T>(2, x.rows * x.cols);
    for_pieces(x, x.contiguous(), nanoseconds, [&](index_t row, index_t begin, index_t n) {
        kernel(x.row(row) + begin, y + row * x.cols + begin, n, streaming, scalars...);
    });
}

// Two inputs of the same shape, one contiguous output: kernel(a piece, b piece, y piece, n, streaming, scalars...).
template <class T, class... Scalar>
void map2(void (*kernel)(const T*, const T*, T*, index_t, bool, Scalar...), const Rows<const T>& a,
          const Rows<const T>& b, T* y, double nanoseconds, typename Exactly<Scalar>::Type... scalars) {
    const bool contiguous = a.contiguous() && b.contiguous();
    const bool streaming = y != a.data && y != b.data && contiguous && beyond_caches<T>(3, a.rows * a.cols);
    for_pieces(a, contiguous, nanoseconds, [&](index_t row, index_t begin, index_t n) {
        kernel(a.row(row) + begin, b.row(row) + begin, y + row * a.cols + begin, n, streaming, scalars...);
    });
}

}  // namespace relu_layers::ops
