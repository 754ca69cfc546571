// Cross entropy of the logistic function against targets t in [0, 1], element by element (Caffe's
// SigmoidCrossEntropyLoss), with its gradient in the same pass; returns the sum over the elements:
//   l = log(1 + exp(-|x|)) + |x| * (x < 0 ? t : 1 - t);   dl = sigmoid(x) - t
// Both terms of l are >= 0: nothing overflows or cancels. `weight` holds one number per element, or is null for 1;
// `factor` is 1 / normalizer. Elements whose target equals `ignore` count nowhere (NaN as `ignore` ignores nothing). dx
// may be x.
#define RELU_LAYERS_KERNELS "table/losses.def"
#include "kernels/kernel.h"
#include "simd/lanes.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

T sigmoid_cross_entropy(const T* x, const T* target, const T* weight, T* dx, index_t n, T ignore, T factor) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    const V ignored = broadcast(ignore);
    Lanes<T> sums(T(0));
    for_each_lane_vector<T>(n, sums, [&](Lanes<T>& total, index_t i, index_t k, auto lanes) {
        const V v = get(x + i, lanes);
        const V t = get(target + i, lanes);
        const V w = weight != nullptr ? get(weight + i, lanes) : one;
        const V a = absolute(v);
        const V e = exponential_of_negative<T>(-a);
        const V reciprocal = one / (e + one);
        const V l = log_one_plus<T>(e, reciprocal) + a * (v < zero ? t : one - t);
        const V d = (v < zero ? e : one) * reciprocal - t;
        total.v[k] = total.v[k] + in_use_or(t == ignored ? zero : w * l, zero, lanes);
        put(dx + i, t == ignored ? zero : w * d * factor, lanes);
    });
    return sums.sum();
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
