// softmax_row.h for transposed rows of classes: a vector holds one class of `width` rows, and every row gets the bits
// that it would get by itself. Arrays (outer, classes, inner) are like that; rows of few classes are transposed into a
// block on the stack, since a vector for each would be mostly empty and folding its lanes takes longer than the rest.
#pragma once

#include "kernels/softmax_row.h"
#include "simd/transpose_rows.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// A sum over the classes of every column, in the order of Lanes::sum: class c is added to partial sum c %
// reduction_lanes.
struct ColumnSums {
    V lane[reduction_lanes<T>];
    index_t used;

    RELU_LAYERS_INLINE explicit ColumnSums(index_t classes)
        : used(classes < reduction_lanes<T> ? classes : reduction_lanes<T>) {
        for (V& sum : lane) sum = broadcast(T(0));
    }
    RELU_LAYERS_INLINE V& of_class(index_t c) { return lane[c % reduction_lanes<T>]; }
    // Partial sums that were never used are 0, and adding them would change nothing.
    RELU_LAYERS_INLINE V fold() {
        for (index_t half = reduction_lanes<T> / 2; half > 0; half /= 2) {
            for (index_t j = 0; j + half < used; ++j) lane[j] = lane[j] + lane[j + half];
            if (used > half) used = half;
        }
        return lane[0];
    }
};

RELU_LAYERS_INLINE I class_index(index_t c) { return I{} + static_cast<typename VecOf<T>::Bits>(c); }

// x: the first vector of the columns; consecutive classes are `stride` elements apart.
template <class Use>
RELU_LAYERS_INLINE V column_maximum(const T* x, index_t stride, index_t classes, Use lanes) {
    V maximum = broadcast(minus_infinity);
    for (index_t c = 0; c < classes; ++c) maximum = greater_of(get(x + c * stride, lanes), maximum);
    return maximum + T(0);
}

// group_sums_of_others for columns: keep(c, s, e).
template <class Use, class Keep>
RELU_LAYERS_INLINE V column_sums_of_others(const T* x, index_t stride, index_t classes, V maximum, Use lanes,
                                           Keep&& keep) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    ColumnSums sums(classes);
    V count = zero;
    for (index_t c = 0; c < classes; ++c) {
        const V s = get(x + c * stride, lanes) - maximum;
        const V e = exponential_of_negative<T>(s);
        keep(c, s, e);
        V& sum = sums.of_class(c);
        sum = sum + (s == zero ? zero : e);
        count = count + (s == zero ? one : zero);
    }
    return sums.fold() + (count - one);
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

    RELU_LAYERS_INLINE void load(const T* x, index_t stride, index_t rows, index_t classes) {
        if (rows == width<T>) return load_rows_transposed(x, stride, classes, data);
        for (index_t r = 0; r < width<T>; ++r) {
            const T* from = x + (r < rows ? r : 0) * stride;
            for (index_t c = 0; c < classes; ++c) data[c * width<T> + r] = from[c];
        }
    }
    RELU_LAYERS_INLINE void store(T* y, index_t stride, index_t rows, index_t classes) const {
        if (rows == width<T>) return store_rows_transposed(data, y, stride, classes);
        for (index_t r = 0; r < rows; ++r)
            for (index_t c = 0; c < classes; ++c) y[r * stride + c] = data[c * width<T> + r];
    }
};

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
