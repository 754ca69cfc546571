// Transposes a square of vectors in registers.
#pragma once

#include "simd/unroll.h"
#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

template <int... lane>
struct LaneList {};
template <int n, int... lane>
struct LanesUpTo : LanesUpTo<n - 1, n - 1, lane...> {};
template <int... lane>
struct LanesUpTo<0, lane...> {
    using List = LaneList<lane...>;
};

// In every 2 x 2 square of blocks of `half` lanes that two rows form, swaps the two blocks off the diagonal:
//   low   A0 A1 | ...        A0 B0 | ...
//   high  B0 B1 | ...   to   A1 B1 | ...
template <int half, class V, int... lane>
RL_INLINE void swap_blocks(V& low, V& high, LaneList<lane...>) {
    constexpr int lanes = static_cast<int>(sizeof...(lane));
    const V a = __builtin_shufflevector(low, high, ((lane & half) != 0 ? lane - half + lanes : lane)...);
    const V b = __builtin_shufflevector(low, high, ((lane & half) != 0 ? lane + lanes : lane + half)...);
    low = a;
    high = b;
}

template <class T, int half>
RL_INLINE void transpose_step(Vec<T> (&rows)[width<T>]) {
    if constexpr (half < width<T>) {
        RL_UNROLL
        for (int i = 0; i < width<T>; ++i)
            if ((i & half) == 0)
                swap_blocks<half>(rows[i], rows[i | half], typename LanesUpTo<static_cast<int>(width<T>)>::List{});
        transpose_step<T, 2 * half>(rows);
    }
}

// Lane j of rows[i] and lane i of rows[j] change places.
template <class T>
RL_INLINE void transpose(Vec<T> (&rows)[width<T>]) {
    transpose_step<T, 1>(rows);
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
