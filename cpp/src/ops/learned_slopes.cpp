#include <algorithm>

#include "ops/elementwise.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {
namespace {

// Rows whose slope gradients are added in one chain; the sums of these blocks are then added in order, however many
// threads.
constexpr index_t block_rows = 512;

}  // namespace

template <class T>
void prelu_forward(Rows<const T> x, const T* slope, index_t slope_count, T* y) {
    const auto kernel = kernels<T>().prelu_forward;
    const bool shared = slope_count == 1;
    for_pieces(x, shared && x.contiguous(), 0.15, [=](index_t row, index_t begin, index_t n) {
        kernel(x.row(row) + begin, y + row * x.cols + begin, n, slope, shared);
    });
}

template <class T>
void prelu_backward(Rows<const T> x, const T* slope, index_t slope_count, Rows<const T> dy, T* dx, T* dslope) {
    const auto& k = kernels<T>();
    const index_t blocks = (x.rows + block_rows - 1) / block_rows;
    const bool shared = slope_count == 1;
    T* partial = static_cast<T*>(
        scratch(Scratch::partial, sizeof(T) * static_cast<std::size_t>(std::max<index_t>(1, blocks * slope_count))));
    // The gradient of the slope first: dx may overwrite dy.
    parallel_for(blocks, 1, 0.2 * double(x.rows * x.cols), [&](index_t begin, index_t end) {
        for (index_t block = begin; block < end; ++block) {
            T* sum = partial + block * slope_count;
            std::fill(sum, sum + slope_count, T(0));
            const index_t last = std::min(x.rows, (block + 1) * block_rows);
            for (index_t row = block * block_rows; row < last; ++row) {
                if (shared) *sum += k.prelu_slope_sum(x.row(row), dy.row(row), x.cols);
                else k.prelu_slope_add(x.row(row), dy.row(row), sum, x.cols);
            }
        }
    });
    std::fill(dslope, dslope + slope_count, T(0));
    for (index_t block = 0; block < blocks; ++block)
        for (index_t j = 0; j < slope_count; ++j) dslope[j] += partial[block * slope_count + j];
    if (dx == nullptr) return;
    for_pieces(x, shared && x.contiguous() && dy.contiguous(), 0.15, [&](index_t row, index_t begin, index_t n) {
        k.prelu_backward(x.row(row) + begin, dy.row(row) + begin, dx + row * x.cols + begin, n, slope, shared);
    });
}

#define RELU_LAYERS_INSTANTIATE(T)                                     \
    template void prelu_forward(Rows<const T>, const T*, index_t, T*); \
    template void prelu_backward(Rows<const T>, const T*, index_t, Rows<const T>, T*, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
