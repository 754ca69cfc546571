// Huber's loss with its gradient in the same pass; returns the sum over the elements. With d = p - t and c the number
// of [-delta, delta] nearest to d:
//   l = c * (d - c / 2), which is d^2 / 2 inside and delta * (|d| - delta / 2) outside;   dl = c
// `weight` holds one number per element, or is null for 1; `factor` is 1 / normalizer. dprediction may be prediction.
// NaN passes through.
#define RELU_LAYERS_KERNELS "table/losses.def"
#include "kernels/kernel.h"
#include "simd/lanes.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

T huber(const T* prediction, const T* target, const T* weight, T* dprediction, index_t n, T delta, T factor) {
    const V one = broadcast(T(1));
    const V zero = broadcast(T(0));
    const V highest = broadcast(delta);
    const V lowest = broadcast(-delta);
    Lanes<T> sums(T(0));
    for_each_lane_vector<T>(n, sums, [&](Lanes<T>& total, index_t i, index_t k, auto lanes) {
        const V difference = get(prediction + i, lanes) - get(target + i, lanes);
        const V from_above = difference > highest ? highest : difference;
        const V clipped = difference < lowest ? lowest : from_above;
        const V w = weight != nullptr ? get(weight + i, lanes) : one;
        total.v[k] = total.v[k] + in_use_or(w * (clipped * (difference - clipped * T(0.5))), zero, lanes);
        put(dprediction + i, w * clipped * factor, lanes);
    });
    return sums.sum();
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
