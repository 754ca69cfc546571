// The dense layer's three products; weight is (in, out), so that forward and dweight need no transpose.
#include <algorithm>

#include "ops/product.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"
#include "relu_layers/views.h"

namespace relu_layers::ops {
namespace {

// Rows whose sum is one chain; the sums of these blocks are added in order.
constexpr index_t block_rows = 512;
// So few numbers are summed before threads are thought of.
constexpr index_t small_size = 4096;

template <class T>
void column_sums(Matrix<const T> x, T* sum) {
    if (x.rows == 0) return std::fill(sum, sum + x.cols, T(0));
    const auto kernel = kernels<T>().column_sums;
    constexpr index_t grain = 256 / index_t(sizeof(T));
    constexpr double element_ns = 0.05;
    if (x.col_stride == 1 && x.rows <= block_rows && x.rows * x.cols <= small_size)
        return kernel({x.data, x.rows, x.cols, x.row_stride}, sum, false);
    parallel_for(x.cols, grain, element_ns * double(x.rows) * double(x.cols), [&](index_t begin, index_t end) {
        for (index_t i = 0; i < x.rows; i += block_rows) {
            const index_t rows = std::min(block_rows, x.rows - i);
            const T* block = x.data + i * x.row_stride + begin * x.col_stride;
            if (x.col_stride == 1) {
                kernel({block, rows, end - begin, x.row_stride}, sum + begin, i > 0);
                continue;
            }
            for (index_t j = begin; j < end; ++j, block += x.col_stride) {
                T total = T(0);
                for (index_t r = 0; r < rows; ++r) total += block[r * x.row_stride];
                sum[j] = i > 0 ? sum[j] + total : total;
            }
        }
    });
}

}  // namespace

template <class T>
void dense_forward(Matrix<const T> x, Matrix<const T> weight, const T* bias, Rectifier<T> relu, T* y) {
    multiply<T>({x, weight, bias, false, {y, x.rows, weight.cols, weight.cols}, {relu.on, relu.negative_slope, {}}});
}

template <class T>
void dense_backward(Matrix<const T> x, Matrix<const T> weight, Matrix<const T> dy, Rectifier<T> relu, T* dx, T* dweight,
                    T* dbias) {
    const Product<T> to_x{dy,
                          transposed(weight),
                          nullptr,
                          false,
                          {dx, dy.rows, weight.rows, weight.rows},
                          {relu.on, relu.negative_slope, x}};
    const Product<T> to_weight{transposed(x), dy, nullptr, false, {dweight, weight.rows, weight.cols, weight.cols}};
    if (dx != nullptr) reserve(to_x);
    reserve(to_weight);
    if (dx != nullptr) multiply(to_x);
    multiply(to_weight);
    if (dbias != nullptr) column_sums(dy, dbias);
}

#define RELU_LAYERS_INSTANTIATE(T)                                                             \
    template void dense_forward(Matrix<const T>, Matrix<const T>, const T*, Rectifier<T>, T*); \
    template void dense_backward(Matrix<const T>, Matrix<const T>, Matrix<const T>, Rectifier<T>, T*, T*, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
