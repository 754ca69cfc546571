#include <algorithm>

#include "ops/instantiate.h"
#include "ops/elementwise.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {
namespace {

// Rows whose slope gradients are added in one chain; the sums of these blocks are then added in order, however many
// threads.
constexpr index_t block_rows = 512;
// More blocks, and columns of a shared slope, are added up in float64: a chain loses digits with its length.
constexpr index_t most_blocks_in_a_chain = 512;
constexpr index_t most_columns = 8192;

// The sum of x * dy where x is not > 0 over one row.
template <class T>
T shared_slope_sum(const KernelTable<T>& kernel, const T* x, const T* dy, index_t n) {
    if (n <= most_columns) return kernel.prelu_slope_sum(x, dy, n);
    double sum = 0.0;
    for (index_t i = 0; i < n; i += most_columns)
        sum += double(kernel.prelu_slope_sum(x + i, dy + i, std::min(most_columns, n - i)));
    return static_cast<T>(sum);
}

// The sum of `count` numbers, `stride` apart.
template <class T>
T sum_of_blocks(const T* block, index_t count, index_t stride) {
    if (count <= most_blocks_in_a_chain) {
        T sum = T(0);
        for (index_t i = 0; i < count; ++i) sum += block[i * stride];
        return sum;
    }
    double sum = 0.0;
    for (index_t i = 0; i < count; ++i) sum += double(block[i * stride]);
    return static_cast<T>(sum);
}

}  // namespace

template <class T>
void prelu_forward(const Rows<const T>& x, const T* slope, index_t slope_count, T* y) {
    const auto kernel = kernels<T>().prelu_forward;
    const bool shared = slope_count == 1;
    for_pieces(x, shared && x.contiguous(), 0.15, [=](index_t row, index_t begin, index_t n) {
        kernel(x.row(row) + begin, y + row * x.cols + begin, n, slope, shared);
    });
}

template <class T>
void prelu_backward(const Rows<const T>& x, const T* slope, index_t slope_count, const Rows<const T>& dy, T* dx,
                    T* dslope) {
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
                if (shared) *sum += shared_slope_sum(k, x.row(row), dy.row(row), x.cols);
                else k.prelu_slope_add(x.row(row), dy.row(row), sum, x.cols);
            }
        }
    });
    for (index_t j = 0; j < slope_count; ++j) dslope[j] = sum_of_blocks(partial + j, blocks, slope_count);
    if (dx == nullptr) return;
    for_pieces(x, shared && x.contiguous() && dy.contiguous(), 0.15, [&](index_t row, index_t begin, index_t n) {
        k.prelu_backward(x.row(row) + begin, dy.row(row) + begin, dx + row * x.cols + begin, n, slope, shared);
    });
}

RELU_LAYERS_INSTANTIATE(prelu_forward)
RELU_LAYERS_INSTANTIATE(prelu_backward)

}  // namespace relu_layers::ops
