// Reductions: 64 bytes of lanes on every target, combined in one fixed order, so with the same bits.
#pragma once

#include "simd/loops.h"
#include "simd/transpose.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

template <class T>
constexpr index_t reduction_lanes = 64 / static_cast<index_t>(sizeof(T));
template <class T>
constexpr index_t reduction_vectors = reduction_lanes<T> / width<T>;

// Folds a vector of `lanes` lanes pairwise: lane j with lane j + half, until one is left.
template <int lanes, class V, int... lane, class Combine>
RELU_LAYERS_INLINE auto fold_halves(V v, LaneList<lane...>, Combine&& combine) {
    if constexpr (lanes == 2) {
        return combine(v[0], v[1]);
    } else {
        const auto half = combine(shuffle(v, v, LaneList<lane...>{}), shuffle(v, v, LaneList<(lane + lanes / 2)...>{}));
        return fold_halves<lanes / 2>(half, typename LanesUpTo<lanes / 4>::List{}, combine);
    }
}
template <class T, class Combine>
RELU_LAYERS_INLINE T fold_vector(Vec<T> v, Combine&& combine) {
    constexpr int lanes = static_cast<int>(width<T>);
    return fold_halves<lanes>(v, typename LanesUpTo<lanes / 2>::List{}, combine);
}

// 64 bytes of accumulators: lane j collects the elements whose index is j modulo reduction_lanes.
template <class T>
struct Lanes {
    Vec<T> v[reduction_vectors<T>];

    RELU_LAYERS_INLINE explicit Lanes(T initial) {
        RL_UNROLL
        for (index_t k = 0; k < reduction_vectors<T>; ++k) v[k] = broadcast(initial);
    }
    // The first step of the fold, between whole vectors.
    template <class Combine>
    RELU_LAYERS_INLINE Vec<T> vector(Combine&& combine) const {
        Lanes<T> lanes = *this;
        RL_UNROLL
        for (index_t half = reduction_vectors<T> / 2; half > 0; half /= 2) {
            RL_UNROLL
            for (index_t k = 0; k < half; ++k) lanes.v[k] = combine(lanes.v[k], lanes.v[k + half]);
        }
        return lanes.v[0];
    }
    // Lane j with lane j + half, until one is left.
    template <class Combine>
    RELU_LAYERS_INLINE T fold(Combine&& combine) const {
        return fold_vector<T>(vector(combine), combine);
    }
    RELU_LAYERS_INLINE T sum() const {
        return fold([](auto a, auto b) { return a + b; });
    }
};

// Folds rows[r] into lane r of the result, every row in the order of Lanes::fold.
template <class T, int half = static_cast<int>(width<T>) / 2, class Combine>
RELU_LAYERS_INLINE Vec<T> fold_rows(Vec<T> (&rows)[width<T>], Combine&& combine) {
    RL_UNROLL
    for (int i = 0; i < half; ++i) {
        swap_blocks<half>(rows[i], rows[i + half], typename LanesUpTo<static_cast<int>(width<T>)>::List{});
        rows[i] = combine(rows[i], rows[i + half]);
    }
    if constexpr (half == 1) return rows[0];
    else return fold_rows<T, half / 2>(rows, combine);
}

// for_each_vector for a reduction: f(sums, i, k, lanes), k being the accumulator in `sums` that element i belongs to: a
// constant in every copy of the body, so that `sums` stays in registers. Where there are more than two, what is left
// after whole groups of lanes adds to a copy in memory, by one body for any k: copies of it for each would be most of a
// kernel's code.
template <class T, class Sums, class F>
RELU_LAYERS_INLINE void for_each_lane_vector(index_t n, Sums& sums, F&& f) {
    index_t i = 0;
    for (; i + reduction_lanes<T> <= n; i += reduction_lanes<T>) {
        RL_UNROLL
        for (index_t k = 0; k < reduction_vectors<T>; ++k) f(sums, i + k * width<T>, k, Full{});
    }
    if (i == n) return;
    const auto lanes_from = [=](index_t first) { return Some{n - first < width<T> ? n - first : width<T>}; };
    if constexpr (reduction_vectors<T> == 1) {
        f(sums, i, 0, Tail{n - i});
    } else if constexpr (reduction_vectors<T> == 2) {
        f(sums, i, 0, lanes_from(i));
        if (i + width<T> < n) f(sums, i + width<T>, 1, Tail{n - i - width<T>});
    } else {
        Sums rest = sums;
        for (index_t k = 0; i < n; ++k, i += width<T>) f(rest, i, k, lanes_from(i));
        sums = rest;
    }
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
