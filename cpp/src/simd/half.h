// Half vectors: where the units are half as wide as a vector, their arithmetic takes half the time (Zen 4). Only 512 bits
// have them; elsewhere a half is a whole vector, and saves nothing.
#pragma once

#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr bool has_halves = true;
using f32_half = float __attribute__((vector_size(vector_bytes / 2)));
using f64_half = double __attribute__((vector_size(vector_bytes / 2)));
// The lower half. (GCC warns of an uninitialised register where a cast or an intrinsic without a mask does the same.)
RELU_LAYERS_INLINE f64_half half_of(f64 v) { return (f64_half)_mm512_maskz_extractf64x4_pd(0xf, (__m512d)v, 0); }
RELU_LAYERS_INLINE f32_half half_of(f32 v) { return (f32_half)half_of((f64)v); }
// Zeros above it.
RELU_LAYERS_INLINE f64 widened(f64_half v) {
    return (f64)_mm512_maskz_insertf64x4(0xff, _mm512_setzero_pd(), (__m256d)v, 0);
}
RELU_LAYERS_INLINE f32 widened(f32_half v) { return (f32)widened((f64_half)v); }
RELU_LAYERS_INLINE f32_half broadcast_to_half(float x) { return (f32_half)_mm256_set1_ps(x); }
RELU_LAYERS_INLINE f64_half broadcast_to_half(double x) { return (f64_half)_mm256_set1_pd(x); }
RELU_LAYERS_INLINE f32_half fma(f32_half a, f32_half b, f32_half c) {
    return (f32_half)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
RELU_LAYERS_INLINE f64_half fma(f64_half a, f64_half b, f64_half c) {
    return (f64_half)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
// The first n numbers, at most as many as there are lanes.
RELU_LAYERS_INLINE f32_half load_half(const float* p, index_t n) {
    return (f32_half)_mm256_maskz_loadu_ps(static_cast<__mmask8>(first_lanes(p, n)), p);
}
RELU_LAYERS_INLINE f64_half load_half(const double* p, index_t n) {
    return (f64_half)_mm256_maskz_loadu_pd(first_lanes(p, n), p);
}
#else
constexpr bool has_halves = false;
template <class V>
RELU_LAYERS_INLINE V half_of(V v) {
    return v;
}
template <class V>
RELU_LAYERS_INLINE V widened(V half) {
    return half;
}
template <class T>
RELU_LAYERS_INLINE Vec<T> broadcast_to_half(T x) {
    return broadcast(x);
}
template <class T>
RELU_LAYERS_INLINE Vec<T> load_half(const T* p, index_t n) {
    return load_first(p, n);
}
#endif

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
