// Transposes a square of vectors in registers.
#pragma once

#include "simd/shuffle.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// In every 2 x 2 square of blocks of `half` lanes that two rows form, swaps the two blocks off the diagonal:
//   low   A0 A1 | ...        A0 B0 | ...
//   high  B0 B1 | ...   to   A1 B1 | ...
template <int half, class V, int... lane>
RELU_LAYERS_INLINE void swap_blocks(V& low, V& high, LaneList<lane...>) {
    constexpr int lanes = static_cast<int>(sizeof...(lane));
    const V a = shuffle(low, high, LaneList<((lane & half) != 0 ? lane - half + lanes : lane)...>{});
    const V b = shuffle(low, high, LaneList<((lane & half) != 0 ? lane + lanes : lane + half)...>{});
    low = a;
    high = b;
}

template <class T, int half>
RELU_LAYERS_INLINE void transpose_step(Vec<T> (&rows)[width<T>]) {
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
RELU_LAYERS_INLINE void transpose(Vec<T> (&rows)[width<T>]) {
    transpose_step<T, 1>(rows);
}

// The transposed square of which `columns` lines, `stride` elements apart, exist with `count` numbers each: lane j of
// square[i] is number i of line j. Nothing is read beyond them; what has no number holds any value.
template <class T>
RELU_LAYERS_INLINE void load_edge(Vec<T> (&square)[width<T>], const T* p, index_t stride, index_t columns,
                                  index_t count) {
    RL_UNROLL
    for (int i = 0; i < width<T>; ++i) {
        square[i] = count < width<T> ? load_first(p, count) : load(p);
        if (i + 1 < columns) p += stride;
    }
    transpose<T>(square);
}

// ---- squares read from memory: parts of 16 bytes land where they belong, so that only steps within them remain ----
constexpr index_t part_bytes = 16;
template <class T>
constexpr int part_lanes = static_cast<int>(part_bytes) / static_cast<int>(sizeof(T));

// One part each from p, p + step, p + 2 step, ... side by side.
#if defined(__AVX512F__)
RELU_LAYERS_INLINE f32 load_parts(const float* p, index_t step) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps(p + step));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps(p + 2 * step));
    return (f32)_mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps(p + 3 * step));
}
RELU_LAYERS_INLINE f64 load_parts(const double* p, index_t step) {
    __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(p));
    v = _mm512_mask_broadcast_f64x2(v, 0x0c, _mm_loadu_pd(p + step));
    v = _mm512_mask_broadcast_f64x2(v, 0x30, _mm_loadu_pd(p + 2 * step));
    return (f64)_mm512_mask_broadcast_f64x2(v, 0xc0, _mm_loadu_pd(p + 3 * step));
}
#elif defined(__AVX2__)
RELU_LAYERS_INLINE f32 load_parts(const float* p, index_t step) {
    return (f32)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + step), 1);
}
RELU_LAYERS_INLINE f64 load_parts(const double* p, index_t step) {
    return (f64)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + step), 1);
}
#else
RELU_LAYERS_INLINE f32 load_parts(const float* p, index_t) { return load(p); }
RELU_LAYERS_INLINE f64 load_parts(const double* p, index_t) { return load(p); }
#endif

// Within each part, zips the lower (then the upper) halves of a and b: a0 b0 a1 b1 | ...
template <int part, class V, int... lane>
RELU_LAYERS_INLINE void zip(V a, V b, V& lower, V& upper, LaneList<lane...>) {
    constexpr int lanes = static_cast<int>(sizeof...(lane));
    lower = shuffle(a, b, LaneList<(lane / part * part + lane % part / 2 + lane % 2 * lanes)...>{});
    upper = shuffle(a, b, LaneList<(lane / part * part + part / 2 + lane % part / 2 + lane % 2 * lanes)...>{});
}

// Whether lines that lie `stride` elements apart fall on few sets of a first-level cache (64 sets of 64 bytes): by the
// time the second part of a line is wanted, the line is gone.
template <class T>
RELU_LAYERS_INLINE bool lines_collide(index_t stride) {
    const index_t offset = stride * static_cast<index_t>(sizeof(T)) & 2047;
    return offset < 64 || offset > 2048 - 64;
}

// Lane j of columns[i] is p[j * stride + i]. Each line is visited several times: see lines_collide.
template <class T>
RELU_LAYERS_INLINE void load_transposed(Vec<T> (&columns)[width<T>], const T* p, index_t stride) {
    constexpr int part = part_lanes<T>;
    using List = typename LanesUpTo<static_cast<int>(width<T>)>::List;
    RL_UNROLL
    for (int i = 0; i < width<T>; i += part) {
        Vec<T> in[part];
        RL_UNROLL
        for (int s = 0; s < part; ++s) in[s] = load_parts(p + s * stride + i, part * stride);
        if constexpr (part == 4) {
            Vec<T> half[part];
            zip<part>(in[0], in[2], half[0], half[1], List{});
            zip<part>(in[1], in[3], half[2], half[3], List{});
            zip<part>(half[0], half[2], columns[i], columns[i + 1], List{});
            zip<part>(half[1], half[3], columns[i + 2], columns[i + 3], List{});
        } else {
            zip<part>(in[0], in[1], columns[i], columns[i + 1], List{});
        }
    }
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
