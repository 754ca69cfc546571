// Helpers of training: the squared norm of a gradient, its accumulation over steps, and which units were ever active.
#define RELU_LAYERS_KERNELS "table/reductions.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

// The sum of x^2 in float64: eight interleaved sums, added pairwise. Products of floats are exact in float64.
double sum_of_squares(const T* x, index_t n) {
    double sums[8] = {};
    index_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; ++j) sums[j] += double(x[i + j]) * double(x[i + j]);
    for (; i < n; ++i) sums[i % 8] += double(x[i]) * double(x[i]);
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// total += x.
void accumulate(T* total, const T* x, index_t n) {
    for_each_vector<T>(
        n, [&](index_t i, auto lanes) { put(total + i, get(total + i, lanes) + get(x + i, lanes), lanes); });
}

// grad += factor * param, and the sum of param^2, added up as in sum_of_squares.
double l2_penalty(const T* param, T* grad, index_t n, T factor) {
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        put(grad + i, get(grad + i, lanes) + broadcast(factor) * get(param + i, lanes), lanes);
    });
    return sum_of_squares(param, n);
}

// active[j] = 1 where x[j] > 0; other entries stay.
void mark_active(const T* x, std::uint8_t* active, index_t n) {
    for (index_t j = 0; j < n; ++j) active[j] = static_cast<std::uint8_t>(active[j] | (x[j] > T(0) ? 1 : 0));
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
