// Vectors of the target this file is compiled for, built on the compiler's vector extension (GCC, Clang): operators + -
// * / and comparisons work on whole vectors, `mask ? a : b` selects by lane. This folder is the only place that names
// an intrinsic or a vector width. Everything lives in an unnamed namespace inside the target's own, so no symbol is
// shared between targets.
#pragma once

#include "relu_layers/types.h"
#include "simd/unroll.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#ifndef RELU_LAYERS_NAMESPACE
#error "kernels are compiled once per target, with RELU_LAYERS_NAMESPACE and RELU_LAYERS_ELEMENT set by CMake"
#endif

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr index_t vector_bytes = 64;
constexpr int vector_registers = 32;
#elif defined(__AVX2__)
constexpr index_t vector_bytes = 32;
constexpr int vector_registers = 16;
#elif defined(__aarch64__)
constexpr index_t vector_bytes = 16;
constexpr int vector_registers = 32;
#else
constexpr index_t vector_bytes = 16;
constexpr int vector_registers = 16;
#endif
// Whether fewer than all lanes take one instruction, too.
#if defined(__AVX2__)
constexpr bool masked_loads = true;
#else
constexpr bool masked_loads = false;
#endif
constexpr bool masked_stores = vector_bytes == 64;

using f32 = float __attribute__((vector_size(vector_bytes)));
using f64 = double __attribute__((vector_size(vector_bytes)));
using i32 = std::int32_t __attribute__((vector_size(vector_bytes)));
using i64 = std::int64_t __attribute__((vector_size(vector_bytes)));
using u32 = std::uint32_t __attribute__((vector_size(vector_bytes)));
using u64 = std::uint64_t __attribute__((vector_size(vector_bytes)));

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
    using V = f32;  // values
    using I = i32;  // lane masks and bits
    using U = u32;  // the same bits, for arithmetic that may wrap
    using Word = std::uint32_t;
    using Words = u32;  // as many words of 32 bits as there are lanes
    using Bits = std::int32_t;
};
template <>
struct VecOf<double> {
    using V = f64;
    using I = i64;
    using U = u64;
    using Word = std::uint64_t;
    using Words = std::uint32_t __attribute__((vector_size(vector_bytes / 2)));
    using Bits = std::int64_t;
};
template <class T>
using Vec = typename VecOf<T>::V;
template <class T>
using IntVec = typename VecOf<T>::I;
template <class T>
using WordVec = typename VecOf<T>::U;
template <class T>
constexpr index_t width = vector_bytes / static_cast<index_t>(sizeof(T));

template <class To, class From>
RELU_LAYERS_INLINE To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    __builtin_memcpy(&to, &from, sizeof(to));
    return to;
}

// `width<T>` words of 32 bits, each in a lane as wide as a T.
template <class T>
RELU_LAYERS_INLINE typename VecOf<T>::U load_words(const std::uint32_t* p) {
    typename VecOf<T>::Words words;
    __builtin_memcpy(&words, p, sizeof(words));
    return __builtin_convertvector(words, typename VecOf<T>::U);
}

template <class T>
RELU_LAYERS_INLINE Vec<T> load(const T* p) {
    Vec<T> v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}
template <class T>
RELU_LAYERS_INLINE void store(T* p, Vec<T> v) {
    __builtin_memcpy(p, &v, sizeof(v));
}

// ---- what needs the instruction set: broadcast, fused multiply-add, square root, first-n-lanes load and store ----
#if defined(__AVX512F__)
RELU_LAYERS_INLINE f32 broadcast(float x) { return bit_cast<f32>(_mm512_set1_ps(x)); }
RELU_LAYERS_INLINE f64 broadcast(double x) { return bit_cast<f64>(_mm512_set1_pd(x)); }
RELU_LAYERS_INLINE f32 fma(f32 a, f32 b, f32 c) { return (f32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
RELU_LAYERS_INLINE f64 fma(f64 a, f64 b, f64 c) { return (f64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
RELU_LAYERS_INLINE f32 square_root(f32 a) { return (f32)_mm512_maskz_sqrt_ps(0xffff, (__m512)a); }
RELU_LAYERS_INLINE f64 square_root(f64 a) { return (f64)_mm512_maskz_sqrt_pd(0xff, (__m512d)a); }
// x * 2^n for integers n, rounded once.
RELU_LAYERS_INLINE f32 scale_by_power_of_two(f32 x, f32 n) {
    return (f32)_mm512_maskz_scalef_ps(0xffff, (__m512)x, (__m512)n);
}
RELU_LAYERS_INLINE f64 scale_by_power_of_two(f64 x, f64 n) {
    return (f64)_mm512_maskz_scalef_pd(0xff, (__m512d)x, (__m512d)n);
}
RELU_LAYERS_INLINE __mmask16 first_lanes(const float*, index_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
RELU_LAYERS_INLINE __mmask8 first_lanes(const double*, index_t n) { return static_cast<__mmask8>((1u << n) - 1u); }
RELU_LAYERS_INLINE f32 load_first(const float* p, index_t n) {
    return (f32)_mm512_maskz_loadu_ps(first_lanes(p, n), p);
}
RELU_LAYERS_INLINE f64 load_first(const double* p, index_t n) {
    return (f64)_mm512_maskz_loadu_pd(first_lanes(p, n), p);
}
RELU_LAYERS_INLINE void store_first(float* p, f32 v, index_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(p, n), (__m512)v);
}
RELU_LAYERS_INLINE void store_first(double* p, f64 v, index_t n) {
    _mm512_mask_storeu_pd(p, first_lanes(p, n), (__m512d)v);
}
#elif defined(__AVX2__)
RELU_LAYERS_INLINE f32 broadcast(float x) { return (f32)_mm256_set1_ps(x); }
RELU_LAYERS_INLINE f64 broadcast(double x) { return (f64)_mm256_set1_pd(x); }
RELU_LAYERS_INLINE f32 fma(f32 a, f32 b, f32 c) { return (f32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
RELU_LAYERS_INLINE f64 fma(f64 a, f64 b, f64 c) { return (f64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
RELU_LAYERS_INLINE f32 square_root(f32 a) { return (f32)_mm256_sqrt_ps((__m256)a); }
RELU_LAYERS_INLINE f64 square_root(f64 a) { return (f64)_mm256_sqrt_pd((__m256d)a); }
RELU_LAYERS_INLINE __m256i first_lanes(const float*, index_t n) {
    return (__m256i)((i32){0, 1, 2, 3, 4, 5, 6, 7} < (i32)_mm256_set1_epi32(static_cast<int>(n)));
}
RELU_LAYERS_INLINE __m256i first_lanes(const double*, index_t n) {
    return (__m256i)((i64){0, 1, 2, 3} < (i64)_mm256_set1_epi64x(n));
}
RELU_LAYERS_INLINE f32 load_first(const float* p, index_t n) { return (f32)_mm256_maskload_ps(p, first_lanes(p, n)); }
RELU_LAYERS_INLINE f64 load_first(const double* p, index_t n) { return (f64)_mm256_maskload_pd(p, first_lanes(p, n)); }
// In powers of two: AVX2's masked stores are microcoded on some processors, four times slower in softmax of 10 classes.
RELU_LAYERS_INLINE void store_first(float* p, f32 v, index_t n) {
    __m128 half = _mm256_castps256_ps128((__m256)v);
    if (n & 4) {
        _mm_storeu_ps(p, half);
        half = _mm256_extractf128_ps((__m256)v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi(reinterpret_cast<__m64*>(p), half);
        half = _mm_movehl_ps(half, half);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, half);
}
RELU_LAYERS_INLINE void store_first(double* p, f64 v, index_t n) {
    __m128d half = _mm256_castpd256_pd128((__m256d)v);
    if (n & 2) {
        _mm_storeu_pd(p, half);
        half = _mm256_extractf128_pd((__m256d)v, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, half);
}
#else
RELU_LAYERS_INLINE f32 broadcast(float x) { return (f32){x, x, x, x}; }
RELU_LAYERS_INLINE f64 broadcast(double x) { return (f64){x, x}; }
#if defined(__aarch64__)
RELU_LAYERS_INLINE f32 fma(f32 a, f32 b, f32 c) {
    return (f32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
RELU_LAYERS_INLINE f64 fma(f64 a, f64 b, f64 c) {
    return (f64)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
RELU_LAYERS_INLINE f32 square_root(f32 a) { return (f32)vsqrtq_f32((float32x4_t)a); }
RELU_LAYERS_INLINE f64 square_root(f64 a) { return (f64)vsqrtq_f64((float64x2_t)a); }
#else
// Without FMA hardware the product is rounded: the one target whose bits may differ from the others'.
RELU_LAYERS_INLINE f32 fma(f32 a, f32 b, f32 c) { return a * b + c; }
RELU_LAYERS_INLINE f64 fma(f64 a, f64 b, f64 c) { return a * b + c; }
#if defined(__SSE2__)
RELU_LAYERS_INLINE f32 square_root(f32 a) { return (f32)_mm_sqrt_ps((__m128)a); }
RELU_LAYERS_INLINE f64 square_root(f64 a) { return (f64)_mm_sqrt_pd((__m128d)a); }
#else
RELU_LAYERS_INLINE f32 square_root(f32 a) {
    RL_UNROLL
    for (int i = 0; i < 4; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
RELU_LAYERS_INLINE f64 square_root(f64 a) { return (f64){__builtin_sqrt(a[0]), __builtin_sqrt(a[1])}; }
#endif
#endif
template <class T>
RELU_LAYERS_INLINE Vec<T> load_first(const T* p, index_t n) {
    Vec<T> v{};
    for (index_t i = 0; i < n; ++i) v[i] = p[i];
    return v;
}
template <class T>
RELU_LAYERS_INLINE void store_first(T* p, Vec<T> v, index_t n) {
    for (index_t i = 0; i < n; ++i) p[i] = v[i];
}
#endif

// The 64-bit products of the low 32 bits of each lane.
RELU_LAYERS_INLINE u64 multiply_low_words(u64 a, u64 b) {
#if defined(__AVX512F__)
    return (u64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (u64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__aarch64__)
    return (u64)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#elif defined(__SSE2__)
    return (u64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

template <class T>
RELU_LAYERS_INLINE T fma_scalar(T a, T b, T c) {
#if defined(__FMA__) || defined(__aarch64__)
    if constexpr (sizeof(T) == 4) return __builtin_fmaf(a, b, c);
    else return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

// a where a > b, else b: a NaN in `a` gives b, a NaN in `b` gives b. x86's maximum and minimum are defined just so.
#if defined(__AVX512F__)
RELU_LAYERS_INLINE f32 greater_of(f32 a, f32 b) { return (f32)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b); }
RELU_LAYERS_INLINE f64 greater_of(f64 a, f64 b) { return (f64)_mm512_maskz_max_pd(0xff, (__m512d)a, (__m512d)b); }
RELU_LAYERS_INLINE f32 lesser_of(f32 a, f32 b) { return (f32)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b); }
RELU_LAYERS_INLINE f64 lesser_of(f64 a, f64 b) { return (f64)_mm512_maskz_min_pd(0xff, (__m512d)a, (__m512d)b); }
#elif defined(__AVX2__)
RELU_LAYERS_INLINE f32 greater_of(f32 a, f32 b) { return (f32)_mm256_max_ps((__m256)a, (__m256)b); }
RELU_LAYERS_INLINE f64 greater_of(f64 a, f64 b) { return (f64)_mm256_max_pd((__m256d)a, (__m256d)b); }
RELU_LAYERS_INLINE f32 lesser_of(f32 a, f32 b) { return (f32)_mm256_min_ps((__m256)a, (__m256)b); }
RELU_LAYERS_INLINE f64 lesser_of(f64 a, f64 b) { return (f64)_mm256_min_pd((__m256d)a, (__m256d)b); }
#else
template <class V>
RELU_LAYERS_INLINE V greater_of(V a, V b) {
    return a > b ? a : b;
}
template <class V>
RELU_LAYERS_INLINE V lesser_of(V a, V b) {
    return a < b ? a : b;
}
#endif
RELU_LAYERS_INLINE f32 absolute(f32 a) { return bit_cast<f32>(bit_cast<i32>(a) & 0x7fffffff); }
RELU_LAYERS_INLINE f64 absolute(f64 a) { return bit_cast<f64>(bit_cast<i64>(a) & 0x7fffffffffffffff); }

// Whether any lane of a comparison's result is set.
RELU_LAYERS_INLINE bool any_lane(i32 mask) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)mask) != 0;
#else
    return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}
RELU_LAYERS_INLINE bool any_lane(i64 mask) {
#if defined(__AVX512F__)
    return _mm512_movepi64_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_pd((__m256d)mask) != 0;
#else
    return (mask[0] | mask[1]) != 0;
#endif
}

// 0, 1, 2, ... by lane.
template <class T>
RELU_LAYERS_INLINE IntVec<T> lane_index() {
    IntVec<T> index;
    RL_UNROLL
    for (index_t j = 0; j < width<T>; ++j) index[j] = static_cast<typename VecOf<T>::Bits>(j);
    return index;
}
// The lanes of a vector whose index is below n.
template <class T>
RELU_LAYERS_INLINE IntVec<T> lanes_below(index_t n) {
    return lane_index<T>() < static_cast<typename VecOf<T>::Bits>(n);
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
