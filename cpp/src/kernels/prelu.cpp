// ReLU with learned slopes (He et al. 2015; Caffe's PReLU), one per column:
//   forward   y = x where x > 0, slope[j] * x elsewhere
//   backward  dx = slope[j] * dy where x <= 0, dy elsewhere;  dslope[j] = sum of x * dy where x is not > 0
// At x = NaN y and dslope are NaN and dx is dy, as in relu.cpp.
// Sums over rows run in order within a block of rows and the caller adds the blocks in order. dx may be dy.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/lanes.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void prelu_forward(const T* x, T* y, index_t n, const T* slope, bool shared) {
    const V zero = broadcast(T(0));
    const auto run = [&](auto slope_at) {
        for_each_vector<T>(n, [&](index_t j, auto lanes) {
            const V v = get(x + j, lanes);
            put(y + j, v > zero ? v : v * slope_at(j, lanes), lanes);
        });
    };
    if (shared) run([only = broadcast(*slope)](index_t, auto) { return only; });
    else run([=](index_t j, auto lanes) { return get(slope + j, lanes); });
}

void prelu_backward(const T* x, const T* dy, T* dx, index_t n, const T* slope, bool shared) {
    const V zero = broadcast(T(0));
    const auto run = [&](auto slope_at) {
        for_each_vector<T>(n, [&](index_t j, auto lanes) {
            const V g = get(dy + j, lanes);
            put(dx + j, get(x + j, lanes) <= zero ? g * slope_at(j, lanes) : g, lanes);
        });
    };
    if (shared) run([only = broadcast(*slope)](index_t, auto) { return only; });
    else run([=](index_t j, auto lanes) { return get(slope + j, lanes); });
}

// sum[j] += x[j] * dy[j] where x[j] is not > 0.
void prelu_slope_add(const T* x, const T* dy, T* sum, index_t n) {
    const V zero = broadcast(T(0));
    for_each_vector<T>(n, [&](index_t j, auto lanes) {
        const V v = get(x + j, lanes);
        const V s = get(sum + j, lanes);
        put(sum + j, v > zero ? s : fma(v, get(dy + j, lanes), s), lanes);
    });
}

// The sum of x[j] * dy[j] where x[j] is not > 0, over one row: for a slope that all columns share.
T prelu_slope_sum(const T* x, const T* dy, index_t n) {
    Lanes<T> sums(T(0));
    const V zero = broadcast(T(0));
    for_each_lane_vector<T>(n, sums, [&](Lanes<T>& total, index_t j, index_t k, auto lanes) {
        const V v = get(x + j, lanes);
        total.v[k] = v > zero ? total.v[k] : fma(v, get(dy + j, lanes), total.v[k]);
    });
    return sums.sum();
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
