// The dense layer's three products; weight is (in, out), so that forward and dweight need no transpose.
#include <algorithm>

#include "ops/packed.h"
#include "ops/product.h"
#include "dispatch/kernels.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"
#include "relu_layers/views.h"

namespace relu_layers::ops {
namespace {

// Rows whose sum is one chain; the sums of these blocks are added in order.
constexpr index_t block_rows = 512;
// More blocks than this are added up in float64: a chain loses digits with its length.
constexpr index_t most_blocks_in_a_chain = 512;
// So few multiply-adds are quicker with the weight as it is.
constexpr double unpacked_work = 64 * 1024;
// So few numbers are summed before threads are thought of.
constexpr index_t small_size = 4096;
// A layer of so few multiply-adds is one call of a kernel.
constexpr index_t small_layer_work = 4096;

// Sums of columns [first, first + n) over one block of rows: written to `sum`, or added to what it holds.
template <class T>
void add_block(const Matrix<const T>& x, index_t row, index_t first, index_t n, T* sum, bool add) {
    const index_t rows = std::min(block_rows, x.rows - row);
    const T* block = x.data + row * x.row_stride + first * x.col_stride;
    if (x.col_stride == 1) return kernels<T>().column_sums({block, rows, n, x.row_stride}, sum, add);
    for (index_t j = 0; j < n; ++j, block += x.col_stride) {
        T total = T(0);
        for (index_t r = 0; r < rows; ++r) total += block[r * x.row_stride];
        sum[j] = add ? sum[j] + total : total;
    }
}

// The same columns over all rows.
template <class T>
void add_all_blocks(const Matrix<const T>& x, index_t first, index_t n, T* sum, bool accumulate) {
    if (x.rows <= block_rows * most_blocks_in_a_chain) {
        for (index_t row = 0; row < x.rows; row += block_rows) add_block(x, row, first, n, sum, accumulate || row > 0);
        return;
    }
    constexpr index_t together = 64;
    for (index_t j = 0; j < n; j += together) {
        const index_t columns = std::min(together, n - j);
        T block[together];
        double total[together] = {};
        for (index_t row = 0; row < x.rows; row += block_rows) {
            add_block(x, row, first + j, columns, block, false);
            for (index_t c = 0; c < columns; ++c) total[c] += double(block[c]);
        }
        for (index_t c = 0; c < columns; ++c)
            sum[j + c] = static_cast<T>(accumulate ? double(sum[j + c]) + total[c] : total[c]);
    }
}

template <class T>
void column_sums(const Matrix<const T>& x, T* sum, bool accumulate) {
    if (x.rows == 0) return std::fill(sum, sum + (accumulate ? 0 : x.cols), T(0));
    constexpr index_t grain = 256 / index_t(sizeof(T));
    constexpr double element_ns = 0.05;
    if (x.rows <= block_rows && x.rows * x.cols <= small_size) return add_block(x, 0, 0, x.cols, sum, accumulate);
    parallel_for(x.cols, grain, element_ns * double(x.rows) * double(x.cols),
                 [&](index_t begin, index_t end) { add_all_blocks(x, begin, end - begin, sum + begin, accumulate); });
}

template <class T>
bool is_small_layer(const Matrix<const T>& x, const Matrix<const T>& weight) {
    const index_t work = x.rows * weight.rows * weight.cols;
    return 0 < work && work <= small_layer_work && x.rows <= block_k && x.cols <= block_k && x.col_stride == 1 &&
           weight.col_stride == 1;
}

}  // namespace

template <class T>
void dense_forward(const Matrix<const T>& x, const Matrix<const T>& weight, const T* bias, Rectifier<T> relu, T* y) {
    if (is_small_layer(x, weight)) return kernels<T>().dense_forward_small(x, weight, bias, relu, y);
    multiply<T>({x, weight, bias, false, {y, x.rows, weight.cols, weight.cols}, {relu.on, relu.negative_slope, {}}});
}

template <class T>
index_t packed_size(index_t in_features, index_t out_features) {
    return in_features * rounded_up(out_features, kernels<T>().gemm_packed_panel);
}

template <class T>
PackedWeight<T> pack_weight(const Matrix<const T>& weight, T* panels) {
    return pack(kernels<T>(), weight, panels);
}

template <class T>
void dense_forward(const Matrix<const T>& x, const PackedWeight<T>& weight, const T* bias, Rectifier<T> relu, T* y) {
    const double work = double(x.rows) * double(x.cols) * double(weight.weight.cols);
    if (work <= unpacked_work || weight.panel != kernels<T>().gemm_packed_panel)
        return dense_forward(x, weight.weight, bias, relu, y);
    multiply_packed(x, weight, bias, relu, y);
}

template <class T>
void dense_backward(const Matrix<const T>& x, const Matrix<const T>& weight, const Matrix<const T>& dy,
                    Rectifier<T> relu, T* dx, T* dweight, T* dbias, bool accumulate) {
    const bool small = is_small_layer(x, weight) && dy.col_stride == 1 && !accumulate;
    if (small && (dx == nullptr || (weight.cols == 1 && weight.row_stride == 1)))
        return kernels<T>().dense_backward_small(x, weight, dy, relu, dx, dweight, dbias);
    const Product<T> to_x{dy,
                          transposed(weight),
                          nullptr,
                          false,
                          {dx, dy.rows, weight.rows, weight.rows},
                          {relu.on, relu.negative_slope, x}};
    if (dx != nullptr) reserve(to_x);
    if (small) {
        multiply(to_x);
        return kernels<T>().dense_backward_small(x, weight, dy, relu, nullptr, dweight, dbias);
    }
    const Product<T> to_weight{
        transposed(x), dy, nullptr, accumulate, {dweight, weight.rows, weight.cols, weight.cols}};
    reserve(to_weight);
    if (dx != nullptr) multiply(to_x);
    multiply(to_weight);
    if (dbias != nullptr) column_sums(dy, dbias, accumulate);
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                                     \
    template void dense_forward(const Matrix<const T>&, const Matrix<const T>&, const T*, Rectifier<T>, T*);           \
    template index_t packed_size<T>(index_t, index_t);                                                                 \
    template PackedWeight<T> pack_weight(const Matrix<const T>&, T*);                                                  \
    template void dense_forward(const Matrix<const T>&, const PackedWeight<T>&, const T*, Rectifier<T>, T*);           \
    template void dense_backward(const Matrix<const T>&, const Matrix<const T>&, const Matrix<const T>&, Rectifier<T>, \
                                 T*, T*, T*, bool);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
