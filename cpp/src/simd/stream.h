// Stores past the caches.
#pragma once

#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// Stores a vector to an aligned place past the caches; end_of_stream() orders such stores before later ones.
#if defined(__AVX512F__)
RELU_LAYERS_INLINE void stream(float* p, f32 v) { _mm512_stream_ps(p, (__m512)v); }
RELU_LAYERS_INLINE void stream(double* p, f64 v) { _mm512_stream_pd(p, (__m512d)v); }
#elif defined(__AVX2__)
RELU_LAYERS_INLINE void stream(float* p, f32 v) { _mm256_stream_ps(p, (__m256)v); }
RELU_LAYERS_INLINE void stream(double* p, f64 v) { _mm256_stream_pd(p, (__m256d)v); }
#elif defined(__SSE2__)
RELU_LAYERS_INLINE void stream(float* p, f32 v) { _mm_stream_ps(p, (__m128)v); }
RELU_LAYERS_INLINE void stream(double* p, f64 v) { _mm_stream_pd(p, (__m128d)v); }
#else
RELU_LAYERS_INLINE void stream(float* p, f32 v) { store(p, v); }
RELU_LAYERS_INLINE void stream(double* p, f64 v) { store(p, v); }
#endif
#if defined(__SSE2__)
RELU_LAYERS_INLINE void end_of_stream() { _mm_sfence(); }
#else
RELU_LAYERS_INLINE void end_of_stream() {}
#endif

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
