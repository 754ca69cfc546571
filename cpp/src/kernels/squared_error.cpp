// Squared error with its gradient in the same pass (Caffe's EuclideanLoss is scale 0.5); returns the sum over the
// elements:
//   l = scale * (p - t)^2;   dl = 2 * scale * (p - t)
// `weight` holds one number per element, or is null for 1; `factor` is 1 / normalizer. dprediction may be prediction.
#define RELU_LAYERS_KERNELS "table/losses.def"
#include "kernels/kernel.h"
#include "simd/lanes.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

T squared_error(const T* prediction, const T* target, const T* weight, T* dprediction, index_t n, T scale, T factor) {
    const V one = broadcast(T(1));
    const V zero = broadcast(T(0));
    const T twice = T(2) * scale;
    Lanes<T> sums(T(0));
    for_each_lane_vector<T>(n, sums, [&](Lanes<T>& total, index_t i, index_t k, auto lanes) {
        const V difference = get(prediction + i, lanes) - get(target + i, lanes);
        const V w = weight != nullptr ? get(weight + i, lanes) : one;
        total.v[k] = total.v[k] + in_use_or(w * (difference * difference * scale), zero, lanes);
        put(dprediction + i, w * (difference * twice) * factor, lanes);
    });
    return sums.sum();
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
