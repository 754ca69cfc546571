// Helpers of training: the squared norm of a gradient, its accumulation over steps, which units were ever active, and
// whether numbers are finite.
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

// Whether none of x is NaN or infinite: x - x is 0 then, and NaN else.
bool all_finite(const T* x, index_t n) {
    constexpr index_t block = 64 * width<T>;
    for (index_t first = 0; first < n; first += block) {
        V sums[4] = {};
        index_t i = 0;
        const index_t size = n - first < block ? n - first : block;
        for (; i + 4 * width<T> <= size; i += 4 * width<T>) RL_UNROLL
        for (int k = 0; k < 4; ++k) {
            const V v = load(x + first + i + k * width<T>);
            sums[k] = sums[k] + (v - v);
        }
        for_each_vector<T>(size - i, [&](index_t j, auto lanes) {
            const V v = get(x + first + i + j, lanes);
            sums[0] = sums[0] + (v - v);
        });
        const V sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        const I is_nan = sum != sum;
        if (any_lane(is_nan)) return false;
    }
    return true;
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
