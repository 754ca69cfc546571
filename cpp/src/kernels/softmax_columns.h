// softmax_row.h for transposed rows of classes: a vector holds one class of `width` rows, and every row gets the bits
// that it would get by itself. Arrays (outer, classes, inner) are like that; rows of few classes are transposed into a
// block on the stack, since a vector for each would be mostly empty and folding its lanes takes longer than the rest.
#pragma once

#include "kernels/softmax_row.h"
#include "simd/transpose_rows.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// A sum over the classes of every column, in the order of Lanes::sum: class c is added to partial sum c %
// reduction_lanes. Partial sums that no class is added to would be 0, and adding them would change nothing: of few
// classes only the first ones are set up and added.
class ColumnSums {
  public:
    RELU_LAYERS_INLINE explicit ColumnSums(index_t classes) : used_(classes) { clear<reduction_lanes<T>>(); }
    RELU_LAYERS_INLINE V& of_class(index_t c) { return lane_[c % reduction_lanes<T>]; }
    RELU_LAYERS_INLINE V fold() {
        fold_halves<reduction_lanes<T>>();
        return lane_[0];
    }

  private:
    template <index_t n>
    RELU_LAYERS_INLINE void clear() {
        if constexpr (n == 1) {
            lane_[0] = V{};
        } else {
            clear<n / 2>();
            if (used_ <= n / 2) return;
            RL_UNROLL
            for (index_t j = n / 2; j < n; ++j) lane_[j] = V{};
        }
    }
    template <index_t n>
    RELU_LAYERS_INLINE void fold_halves() {
        if constexpr (n > 1) {
            if (used_ > n / 2) {
                RL_UNROLL
                for (index_t j = 0; j < n / 2; ++j) lane_[j] = lane_[j] + lane_[j + n / 2];
            }
            fold_halves<n / 2>();
        }
    }

    V lane_[reduction_lanes<T>];
    index_t used_;
};

RELU_LAYERS_INLINE I class_index(index_t c) { return I{} + static_cast<typename VecOf<T>::Bits>(c); }

// Of a vector of rows that lie side by side, from x.data on; `lanes` of them are in use.
template <class Use>
RELU_LAYERS_INLINE V column_maximum(const ClassRows<const T>& x, Use lanes) {
    V maximum = broadcast(minus_infinity);
    for (index_t c = 0; c < x.classes; ++c) maximum = greater_of(get(x.of_class(c), lanes), maximum);
    return maximum + T(0);
}

struct ColumnTerms {
    V others;
    V maxima;
};

// The terms of exp(x - maximum) of classes [start, start + n), as in Terms; keep(c, s, e).
template <class Use, class Keep>
RELU_LAYERS_INLINE ColumnTerms column_terms(const ClassRows<const T>& x, index_t start, index_t n, V maximum, Use lanes,
                                            Keep&& keep) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    ColumnSums sums(n);
    V count = zero;
    for (index_t c = start; c < start + n; ++c) {
        const V s = get(x.of_class(c), lanes) - maximum;
        const V e = exponential_of_negative<T>(s);
        keep(c, s, e);
        V& sum = sums.of_class(c);
        sum = sum + (s == zero ? zero : e);
        count = count + (s == zero ? one : zero);
    }
    return {sums.fold(), count};
}

// group_sums_of_others of such rows: keep(c, s, e).
template <class Use, class Keep>
RELU_LAYERS_INLINE V column_sums_of_others(const ClassRows<const T>& x, V maximum, Use lanes, Keep&& keep) {
    BlockSums others(T(-1));
    for_blocks(x.classes, [&](index_t start, index_t n) {
        const ColumnTerms terms = column_terms(x, start, n, maximum, lanes, keep);
        others.add(terms.others, terms.maxima);
    });
    return others.value();
}

// group_sums of such rows: next(c, sum).
template <class Next>
RELU_LAYERS_INLINE V column_sums_of(index_t classes, Next&& next) {
    BlockSums total;
    for_blocks(classes, [&](index_t start, index_t n) {
        ColumnSums sums(n);
        for (index_t c = start; c < start + n; ++c) {
            V& sum = sums.of_class(c);
            sum = next(c, sum);
        }
        total.add(sums.fold());
    });
    return total.value();
}

// The most classes that rows are transposed for, and the fewest rows worth it.
constexpr index_t transposed_classes = 32;
constexpr index_t least_transposed_rows = width<T> / 4 > 2 ? width<T> / 4 : 2;

RELU_LAYERS_INLINE index_t transposed_rows(index_t rows, index_t classes) {
    if (classes > transposed_classes || rows < least_transposed_rows) return 0;
    return rows < width<T> ? rows : width<T>;
}

// Up to `width` rows, transposed: class c of row r is data[c * width + r].
struct TransposedRows {
    T data[transposed_classes * width<T>];

    // The rows as they are here, side by side.
    RELU_LAYERS_INLINE ClassRows<T> view(index_t classes) { return {data, width<T>, classes, 1, width<T>}; }
    RELU_LAYERS_INLINE ClassRows<const T> input(index_t classes) const {
        return {data, width<T>, classes, 1, width<T>};
    }

    RELU_LAYERS_INLINE void load(const ClassRows<const T>& x) {
        if (x.rows == width<T>) return load_rows_transposed(x.data, x.row_stride, x.classes, data);
        for (index_t r = 0; r < width<T>; ++r) {
            const T* from = x.row(r < x.rows ? r : 0);
            for (index_t c = 0; c < x.classes; ++c) data[c * width<T> + r] = from[c];
        }
    }
    RELU_LAYERS_INLINE void store(const ClassRows<T>& y) const {
        if (y.rows == width<T>) return store_rows_transposed(data, y.data, y.row_stride, y.classes);
        for (index_t r = 0; r < y.rows; ++r)
            for (index_t c = 0; c < y.classes; ++c) y.row(r)[c] = data[c * width<T> + r];
    }
};

// How many of the next rows of x go together: as a transposed block, or else, in groups that stay in the cache.
struct NextRows {
    index_t count;
    bool transposed;
};
RELU_LAYERS_INLINE NextRows next_rows(index_t rows, index_t classes, index_t most_transposed = transposed_classes) {
    const index_t n = classes <= most_transposed ? transposed_rows(rows, classes) : 0;
    return n > 0 ? NextRows{n, true} : NextRows{group_rows(rows, classes), false};
}

// Calls column(i, n, lanes) for rows that lie side by side, n of them from row i on: a vector or the last ones.
template <class Column>
RELU_LAYERS_INLINE void for_side_by_side(index_t rows, Column&& column) {
    index_t i = 0;
    for (; i + width<T> <= rows; i += width<T>) column(i, width<T>, Full{});
    if (i < rows) column(i, rows - i, Tail{rows - i});
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
