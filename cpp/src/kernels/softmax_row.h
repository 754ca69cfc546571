// What softmax, log-softmax and the cross entropy share for a row whose classes lie side by side: its maximum, and the
// sum of exponentials without the maximum's own 1, so that log1p of it keeps its relative accuracy where one class has
// nearly all the probability.
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
    Lanes<T> maxima(lowest);
    for_each_lane_vector<T>(n, [&](index_t i, index_t k, auto lanes) {
        maxima.v[k] = greater_of(get_or(x + i, lanes, lowest), maxima.v[k]);
    });
    const T maximum =
        maxima.fold([](T a, T b) { return a > b ? a : b; }) + T(0);  // never -0: the sign would depend on order
    if (maximum - maximum != T(0)) return {maximum, -1};
    const V wanted = broadcast(maximum);
    index_t i = 0;
    while (i + width<T> <= n && !any_lane(load(x + i) == wanted)) i += width<T>;
    while (x[i] != maximum) ++i;
    return {maximum, i};
}

// The lane of element `at` in the vector that starts at element i, or -1.
RL_INLINE typename VecOf<T>::Bits lane_of(index_t at, index_t i) {
    const index_t lane = at - i;
    return static_cast<typename VecOf<T>::Bits>(lane >= 0 && lane < width<T> ? lane : -1);
}

// The sum of exp(x - maximum) over a row without the maximum's own term. Calls keep(i, k, s, e, lanes) with each vector
// of differences s and exponentials e, the maximum's included. A row with NaN or +inf, or of -inf only, gives NaN.
template <class Keep>
RL_INLINE T exponentials_of_others(const T* x, index_t n, RowMaximum maximum, Keep&& keep) {
    const V shift = broadcast(maximum.value);
    const V zero = broadcast(T(0));
    const I index = lane_index<T>();
    Lanes<T> sums(T(0));
    for_each_lane_vector<T>(n, [&](index_t i, index_t k, auto lanes) {
        const V s = get_or(x + i, lanes, -T(__builtin_inf())) - shift;
        const V e = exponential_of_negative<T>(s);
        keep(i, k, s, e, lanes);
        const V counted = index == lane_of(maximum.at, i) ? zero : e;
        sums.v[k] = sums.v[k] + in_use_or(counted, zero, lanes);
    });
    return sums.sum();
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
