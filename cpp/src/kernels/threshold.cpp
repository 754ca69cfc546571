// Caffe's f(x) = max(e, x) generalised: y = value where x <= threshold, else x (NaN stays NaN);
// dx = 0 where x <= threshold, else dy. With value = threshold = e it is max(e, x), whose derivative at the kink is 0.
// dx may be dy; y may not be x, because y no longer tells where x was.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void threshold_forward(const T* x, T* y, index_t n, bool streaming, T threshold, T value) {
    const V limit = broadcast(threshold);
    const V replacement = broadcast(value);
    map_vectors(x, y, n, streaming, [=](V v) { return v <= limit ? replacement : v; });
}

void threshold_backward(const T* x, const T* dy, T* dx, index_t n, bool streaming, T threshold) {
    const V limit = broadcast(threshold);
    const V zero = broadcast(T(0));
    map_vectors(x, dy, dx, n, streaming, [=](V v, V g) { return v <= limit ? zero : g; });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
