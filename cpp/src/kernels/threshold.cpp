// Caffe's f(x) = max(e, x) generalised: y = value where x <= threshold, else x (NaN stays NaN);
// dx = 0 where x <= threshold, else dy. With value = threshold = e it is max(e, x), whose derivative at the kink is 0.
// dx may be dy; y may not be x, because y no longer tells where x was.
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void threshold_forward(const T* x, T* y, index_t n, T threshold, T value, bool streaming) {
    const V limit = broadcast(threshold);
    const V replacement = broadcast(value);
    for_each_vector_to(y, n, streaming, [&](index_t i, auto lanes) {
        const V v = get(x + i, lanes);
        put(y + i, v <= limit ? replacement : v, lanes);
    });
}

void threshold_backward(const T* x, const T* dy, T* dx, index_t n, T threshold, bool streaming) {
    const V limit = broadcast(threshold);
    const V zero = broadcast(T(0));
    for_each_vector_to(dx, n, streaming, [&](index_t i, auto lanes) {
        put(dx + i, get(x + i, lanes) <= limit ? zero : get(dy + i, lanes), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
