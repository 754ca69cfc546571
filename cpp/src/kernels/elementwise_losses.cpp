// Losses whose positions are the elements, each with its gradient in the same pass over a block; the sum of a block is
// returned. `weight` holds one number per element, or is null for 1; `factor` is 1 / normalizer.
//   sigmoid cross entropy   l = log(1 + exp(-|x|)) + |x| * (x < 0 ? t : 1 - t);   dl = sigmoid(x) - t
//   squared error           l = scale * (p - t)^2;                                dl = 2 * scale * (p - t)
// Elements whose target equals `ignore` count nowhere (NaN as `ignore` ignores nothing). The gradient may overwrite x.
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

T sigmoid_cross_entropy(const T* x, const T* target, const T* weight, T* dx, index_t n, T ignore, T factor) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    const V ignored = broadcast(ignore);
    Lanes<T> sums(T(0));
    index_t k = 0;
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V v = get(x + i, lanes);
        const V t = get(target + i, lanes);
        const V w = weight != nullptr ? get(weight + i, lanes) : one;
        const V a = absolute(v);
        const V e = exponential<T>(-a);
        const V l = log_one_plus<T>(e) + a * (v < zero ? t : one - t);
        const V d = (v < zero ? e : one) / (e + one) - t;
        sums.v[k] = sums.v[k] + in_use_or(t == ignored ? zero : w * l, zero, lanes);
        put(dx + i, t == ignored ? zero : w * d * factor, lanes);
        k = (k + 1) % reduction_vectors<T>;
    });
    return sums.sum();
}

T squared_error(const T* prediction, const T* target, const T* weight, T* dprediction, index_t n, T scale, T factor) {
    const V one = broadcast(T(1));
    const T twice = T(2) * scale;
    Lanes<T> sums(T(0));
    index_t k = 0;
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V difference = get(prediction + i, lanes) - get(target + i, lanes);
        const V w = weight != nullptr ? get(weight + i, lanes) : one;
        sums.v[k] = sums.v[k] + w * (difference * difference * scale);
        put(dprediction + i, w * (difference * twice) * factor, lanes);
        k = (k + 1) % reduction_vectors<T>;
    });
    return sums.sum();
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
