// What softmax, log-softmax and the cross entropy share: the maximum of a row and the sum of exponentials without the maximum's
// own 1, so that log1p of it keeps its relative accuracy where one class has nearly all the probability.
#pragma once

#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

struct RowMaximum {
    T value;
    index_t at;  // the first place of it; -1 where it is infinite or the row holds nothing but NaN
};

RL_INLINE RowMaximum row_maximum(const T* x, index_t n) {
    const T lowest = -T(__builtin_inf());
    Lanes<T> lanes(lowest);
    index_t k = 0;
    for_each_vector<T>(n, [&](index_t i, auto in_use) {
        lanes.v[k] = greater_of(get_or(x + i, in_use, lowest), lanes.v[k]);
        k = (k + 1) % reduction_vectors<T>;
    });
    const T maximum = lanes.fold([](T a, T b) { return a > b ? a : b; });
    if (maximum - maximum != T(0)) return {maximum, -1};
    const V wanted = broadcast(maximum);
    for (index_t i = 0; i < n; i += width<T>) {
        const V v = i + width<T> <= n ? load(x + i) : get_or(x + i, Tail{n - i}, lowest);
        if (any_lane(v == wanted)) {
            index_t at = i;
            while (x[at] != maximum) ++at;
            return {maximum, at};
        }
    }
    return {maximum, -1};
}

// The sum of exp(x - maximum) over a row without the maximum's own term. Calls keep(i, e, lanes) with each vector of
// exponentials, the maximum's included. A row with NaN or +inf, or of -inf only, gives NaN.
template <class Keep>
RL_INLINE T exponentials_of_others(const T* x, index_t n, RowMaximum maximum, Keep&& keep) {
    const V shift = broadcast(maximum.value);
    const V zero = broadcast(T(0));
    Lanes<T> sums(T(0));
    index_t k = 0;
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V e = exponential<T>(get_or(x + i, lanes, -T(__builtin_inf())) - shift);
        keep(i, e, lanes);
        const index_t offset = maximum.at - i;
        const auto own = static_cast<typename VecOf<T>::Bits>(offset >= 0 && offset < width<T> ? offset : -1);
        V counted = lane_index<T>() == own ? zero : e;
        counted = in_use_or(counted, zero, lanes);
        sums.v[k] = sums.v[k] + counted;
        k = (k + 1) % reduction_vectors<T>;
    });
    return sums.sum();
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
