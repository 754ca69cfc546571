// The dense layer's three products; weight is (in, out), so forward and dweight need no transpose and dx packs it.
#include <algorithm>

#include "ops/product.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {
namespace {

// Rows whose sums are one chain, as in the products.
constexpr index_t block_rows = 512;

template <class T>
void column_sums(Matrix<const T> dy, T* dbias) {
    const auto& kernel = kernels<T>();
    if (dy.rows == 0) std::fill(dbias, dbias + dy.cols, T(0));
    for (index_t i = 0; i < dy.rows; i += block_rows) {
        const index_t rows = std::min(block_rows, dy.rows - i);
        const T* block = dy.data + i * dy.row_stride;
        if (dy.col_stride == 1) {
            kernel.column_sums(rows, dy.cols, block, dy.row_stride, dbias, i > 0);
            continue;
        }
        for (index_t j = 0; j < dy.cols; ++j) {
            T total = T(0);
            for (index_t r = 0; r < rows; ++r) total += block[r * dy.row_stride + j * dy.col_stride];
            dbias[j] = i > 0 ? dbias[j] + total : total;
        }
    }
}

template <class T>
Matrix<const T> transposed(Matrix<const T> a) {
    return {a.data, a.cols, a.rows, a.col_stride, a.row_stride};
}

}  // namespace

template <class T>
void dense_forward(Matrix<const T> x, Matrix<const T> weight, const T* bias, T* y) {
    product<T>(x, weight, bias, false, {y, x.rows, weight.cols, weight.cols});
}

template <class T>
void dense_backward(Matrix<const T> x, Matrix<const T> weight, Matrix<const T> dy, T* dx, T* dweight, T* dbias) {
    if (dx != nullptr) product<T>(dy, transposed(weight), nullptr, false, {dx, dy.rows, weight.rows, weight.rows});
    product<T>(transposed(x), dy, nullptr, false, {dweight, weight.rows, weight.cols, weight.cols});
    if (dbias != nullptr) column_sums(dy, dbias);
}

#define RELU_LAYERS_INSTANTIATE(T)                                                       \
    template void dense_forward(Matrix<const T>, Matrix<const T>, const T*, T*);         \
    template void dense_backward(Matrix<const T>, Matrix<const T>, Matrix<const T>, T*, T*, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
