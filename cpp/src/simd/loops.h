// Loops over arrays with masked tails.
#pragma once

#include "simd/stream.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// ---- walking an array: full vectors, then one masked tail ----
// for_each_vector calls f(i, lanes) for each vector, i its first index. In the full part `lanes` is Full, and get and
// put are plain loads and stores there; the last call may have a Tail, whose n lanes are in use. for_each_vector_to
// does the same for an output that is aligned on the way, and then, where `streaming`, put writes Streamed vectors past
// the caches.
struct Full {};
struct Streamed {};
struct Tail {
    index_t n;
};
// The first n lanes, which may be all of them: slower than Full, one body for both.
struct Some {
    index_t n;
};
template <class T>
RELU_LAYERS_INLINE Vec<T> get(const T* p, Full) {
    return load(p);
}
template <class T>
RELU_LAYERS_INLINE Vec<T> get(const T* p, Streamed) {
    return load(p);
}
template <class T>
RELU_LAYERS_INLINE Vec<T> get(const T* p, Tail t) {
    return load_first(p, t.n);
}
template <class T>
RELU_LAYERS_INLINE Vec<T> get(const T* p, Some some) {
    return !masked_loads && some.n == width<T> ? load(p) : load_first(p, some.n);
}
// The same with `fill` in the lanes that are not in use.
template <class T>
RELU_LAYERS_INLINE Vec<T> get_or(const T* p, Full, T) {
    return load(p);
}
template <class T>
RELU_LAYERS_INLINE Vec<T> get_or(const T* p, Tail t, T fill) {
    return lanes_below<T>(t.n) ? load_first(p, t.n) : broadcast(fill);
}
template <class T>
RELU_LAYERS_INLINE Vec<T> get_or(const T* p, Some some, T fill) {
    return lanes_below<T>(some.n) ? get(p, some) : broadcast(fill);
}
// v in the lanes in use, `other` in the rest.
template <class V>
RELU_LAYERS_INLINE V in_use_or(V v, V, Full) {
    return v;
}
RELU_LAYERS_INLINE f32 in_use_or(f32 v, f32 other, Tail t) { return lanes_below<float>(t.n) ? v : other; }
RELU_LAYERS_INLINE f64 in_use_or(f64 v, f64 other, Tail t) { return lanes_below<double>(t.n) ? v : other; }
RELU_LAYERS_INLINE f32 in_use_or(f32 v, f32 other, Some some) { return lanes_below<float>(some.n) ? v : other; }
RELU_LAYERS_INLINE f64 in_use_or(f64 v, f64 other, Some some) { return lanes_below<double>(some.n) ? v : other; }
template <class T>
RELU_LAYERS_INLINE void put(T* p, Vec<T> v, Full) {
    store(p, v);
}
template <class T>
RELU_LAYERS_INLINE void put(T* p, Vec<T> v, Streamed) {
    stream(p, v);
}
template <class T>
RELU_LAYERS_INLINE void put(T* p, Vec<T> v, Tail t) {
    store_first(p, v, t.n);
}
template <class T>
RELU_LAYERS_INLINE void put(T* p, Vec<T> v, Some some) {
    if (!masked_stores && some.n == width<T>) store(p, v);
    else store_first(p, v, some.n);
}
template <class T, class F>
RELU_LAYERS_INLINE void for_each_vector(index_t n, F&& f) {
    index_t i = 0;
    for (; i + width<T> <= n; i += width<T>) f(i, Full{});
    if (i < n) f(i, Tail{n - i});
}
template <class T, class F>
RELU_LAYERS_INLINE void for_each_vector_to(T* out, index_t n, bool streaming, F&& f) {
    if (!streaming) return for_each_vector<T>(n, f);
    const auto offset = static_cast<index_t>(reinterpret_cast<std::uintptr_t>(out) % vector_bytes / sizeof(T));
    const index_t before = offset == 0 ? 0 : width<T> - offset;
    index_t i = before < n ? before : n;
    if (i > 0) f(0, Tail{i});
    for (; i + width<T> <= n; i += width<T>) f(i, Streamed{});
    if (i < n) f(i, Tail{n - i});
    end_of_stream();
}

// y = f(x), and y = f(a, b), one vector after another.
template <class T, class F>
RELU_LAYERS_INLINE void map_vectors(const T* x, T* y, index_t n, bool streaming, F&& f) {
    for_each_vector_to(y, n, streaming, [&](index_t i, auto lanes) { put(y + i, f(get(x + i, lanes)), lanes); });
}
template <class T, class F>
RELU_LAYERS_INLINE void map_vectors(const T* a, const T* b, T* y, index_t n, bool streaming, F&& f) {
    for_each_vector_to(y, n, streaming,
                       [&](index_t i, auto lanes) { put(y + i, f(get(a + i, lanes), get(b + i, lanes)), lanes); });
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
