// Transposes `width` rows of few numbers into a block and back: in the block, number c of row r is at c * width + r.
// Rows are read and written in parts of 16 bytes and a rest, never beyond their ends.
#pragma once

#include "simd/transpose.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

template <class T>
struct PartOf;
template <>
struct PartOf<float> {
    using Type = float __attribute__((vector_size(part_bytes)));
};
template <>
struct PartOf<double> {
    using Type = double __attribute__((vector_size(part_bytes)));
};
template <class T>
using Part = typename PartOf<T>::Type;

template <int n, class V>
RELU_LAYERS_INLINE auto join(V a, V b) {
    return shuffle(a, b, typename LanesUpTo<2 * n>::List{});
}
template <int first, class V, int... lane>
RELU_LAYERS_INLINE auto part_of(V v, LaneList<lane...>) {
    return shuffle(v, v, LaneList<(first + lane)...>{});
}

// The first n numbers of a part.
template <int n, class T>
RELU_LAYERS_INLINE Part<T> load_part(const T* p) {
    Part<T> v{};
    RL_UNROLL
    for (int i = 0; i < n; ++i) v[i] = p[i];
    return v;
}

// load_parts of parts that hold n numbers.
template <int n, class T>
RELU_LAYERS_INLINE Vec<T> load_short_parts(const T* p, index_t step) {
    constexpr int lanes = part_lanes<T>;
    const auto first = load_part<n>(p);
    if constexpr (width<T> == lanes) {
        return first;
    } else {
        const auto two = join<lanes>(first, load_part<n>(p + step));
        if constexpr (width<T> == 2 * lanes) return two;
        else return join<2 * lanes>(two, join<lanes>(load_part<n>(p + 2 * step), load_part<n>(p + 3 * step)));
    }
}

// Transposes the square that each part of the vectors forms.
template <class T>
RELU_LAYERS_INLINE void transpose_parts(Vec<T> (&v)[part_lanes<T>]) {
    constexpr int part = part_lanes<T>;
    using List = typename LanesUpTo<static_cast<int>(width<T>)>::List;
    if constexpr (part == 4) {
        Vec<T> half[part];
        zip<part>(v[0], v[2], half[0], half[1], List{});
        zip<part>(v[1], v[3], half[2], half[3], List{});
        zip<part>(half[0], half[2], v[0], v[1], List{});
        zip<part>(half[1], half[3], v[2], v[3], List{});
    } else {
        const Vec<T> first = v[0];
        zip<part>(first, v[1], v[0], v[1], List{});
    }
}

// n numbers of `width` rows.
template <int n, class T>
RELU_LAYERS_INLINE void load_part_transposed(const T* x, index_t stride, T* transposed) {
    constexpr int part = part_lanes<T>;
    Vec<T> v[part];
    RL_UNROLL
    for (int s = 0; s < part; ++s) {
        if constexpr (n == part) v[s] = load_parts(x + s * stride, part * stride);
        else v[s] = load_short_parts<n>(x + s * stride, part * stride);
    }
    transpose_parts<T>(v);
    RL_UNROLL
    for (int c = 0; c < n; ++c) store(transposed + c * width<T>, v[c]);
}

template <int n, int first, class T>
RELU_LAYERS_INLINE void store_parts(Vec<T> v, T* y, index_t step) {
    constexpr int part = part_lanes<T>;
    const auto numbers = part_of<first>(v, typename LanesUpTo<part>::List{});
    __builtin_memcpy(y, &numbers, n * sizeof(T));
    if constexpr (first + part < static_cast<int>(width<T>)) store_parts<n, first + part>(v, y + step, step);
}

template <int n, class T>
RELU_LAYERS_INLINE void store_part_transposed(const T* transposed, T* y, index_t stride) {
    constexpr int part = part_lanes<T>;
    Vec<T> v[part];
    RL_UNROLL
    for (int c = 0; c < part; ++c) v[c] = load(transposed + (c < n ? c : 0) * width<T>);
    transpose_parts<T>(v);
    RL_UNROLL
    for (int s = 0; s < part; ++s) store_parts<n, 0, T>(v[s], y + s * stride, part * stride);
}

// Calls run(first, Count<n>{}) for the parts of `numbers` numbers.
template <int n>
struct Count {
    static constexpr int value = n;
};
template <class T, class Run>
RELU_LAYERS_INLINE void for_each_part(index_t numbers, Run&& run) {
    constexpr int part = part_lanes<T>;
    index_t i = 0;
    for (; i + part <= numbers; i += part) run(i, Count<part>{});
    const index_t rest = numbers - i;
    if (rest == 1) run(i, Count<1>{});
    if constexpr (part == 4) {
        if (rest == 2) run(i, Count<2>{});
        if (rest == 3) run(i, Count<3>{});
    }
}

// `width` rows, `stride` apart.
template <class T>
RELU_LAYERS_INLINE void load_rows_transposed(const T* x, index_t stride, index_t numbers, T* transposed) {
    for_each_part<T>(numbers, [&](index_t i, auto count) {
        load_part_transposed<decltype(count)::value>(x + i, stride, transposed + i * width<T>);
    });
}
template <class T>
RELU_LAYERS_INLINE void store_rows_transposed(const T* transposed, T* y, index_t stride, index_t numbers) {
    for_each_part<T>(numbers, [&](index_t i, auto count) {
        store_part_transposed<decltype(count)::value>(transposed + i * width<T>, y + i, stride);
    });
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
