// c (m, n) = a (m, k) @ b (k, n) where the columns of b are contiguous and m is small: a dense layer's dx for a small
// batch, and with both sides exchanged, c^T = b^T @ a^T, a product with few columns. Squares of b are transposed in
// registers, used and forgotten: b is read once, in order, and never written.
//
//         k ->                             W columns of b, W numbers of each, become W vectors of b's rows; each is
//   n  +--------+--------+----             multiplied by one number of each row of a. Elements of c are one chain over
//   k in |  | square | square | ...             order, as in gemm.cpp, and `add` and `bias` mean the same. v
//   +--------+--------+----
//
// `columns` holds b's columns as rows, (n, k). c and bias are addressed through two strides: element (i, j) gets
// bias[i * bias_row + j * bias_col].
#include "kernels/kernel.h"
#include "simd/transpose.h"
#include "simd/unroll.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr int W = static_cast<int>(width<T>);
constexpr int most_rows = vector_registers == 32 ? 8 : 4;

struct Strip {
    Matrix<const T> a;
    Rows<const T> columns;
    Matrix<T> c;
    const T* bias;
    index_t bias_row, bias_col;
    bool add;
};

template <int R, class Lanes>
RL_INLINE void add_square(V (&sum)[R], const T* a, index_t a_row, index_t a_col, const T* from, index_t stride,
                          index_t columns, Lanes lanes) {
    V square[W];
    RL_UNROLL
    for (int i = 0; i < W; ++i) {
        square[i] = get(from, lanes);
        if (i + 1 < columns) from += stride;
    }
    transpose<T>(square);
    RL_UNROLL
    for (int i = 0; i < W; ++i) {
        if constexpr (sizeof(Lanes) == sizeof(Tail)) {
            if (i >= lanes.n) break;
        }
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = fma(broadcast(a[r * a_row + i * a_col]), square[i], sum[r]);
    }
}

// Rows [row, row + R) of c, columns [j, j + lanes).
template <int R, class Lanes>
RL_INLINE void finish(const Strip& s, V (&sum)[R], index_t row, index_t j, index_t n, Lanes lanes) {
    RL_UNROLL
    for (int r = 0; r < R; ++r) {
        T* to = s.c.data + (row + r) * s.c.row_stride + j * s.c.col_stride;
        const T* bias = s.bias == nullptr ? nullptr : s.bias + (row + r) * s.bias_row + j * s.bias_col;
        if (s.c.col_stride == 1 && (bias == nullptr || s.bias_col <= 1)) {
            V y = sum[r];
            if (s.add) y = get(to, lanes) + y;
            if (bias != nullptr) y = y + (s.bias_col == 1 ? get(bias, lanes) : broadcast(*bias));
            put(to, y, lanes);
        } else {
            for (index_t q = 0; q < n; ++q) {
                T y = sum[r][q];
                T& old = to[q * s.c.col_stride];
                if (s.add) y = old + y;
                old = bias == nullptr ? y : y + bias[q * s.bias_col];
            }
        }
    }
}

template <int R>
void strip(const Strip& s, index_t row, index_t j, index_t n) {
    V sum[R];
    RL_UNROLL
    for (int r = 0; r < R; ++r) sum[r] = V{};
    const T* a = s.a.data + row * s.a.row_stride;
    const T* from = s.columns.row(j);
    if (n == W) {
        for_each_vector<T>(s.a.cols, [&](index_t p, auto lanes) {
            add_square<R>(sum, a + p * s.a.col_stride, s.a.row_stride, s.a.col_stride, from + p, s.columns.stride,
                          index_t(W), lanes);
        });
        finish<R>(s, sum, row, j, n, Full{});
    } else {
        for_each_vector<T>(s.a.cols, [&](index_t p, auto lanes) {
            add_square<R>(sum, a + p * s.a.col_stride, s.a.row_stride, s.a.col_stride, from + p, s.columns.stride, n,
                          lanes);
        });
        finish<R>(s, sum, row, j, n, Tail{n});
    }
}

template <int R>
RL_INLINE void strip_of(index_t rows, const Strip& s, index_t row, index_t j, index_t n) {
    if (rows == R) strip<R>(s, row, j, n);
    else if constexpr (R > 1) strip_of<R - 1>(rows, s, row, j, n);
}

}  // namespace

void gemm_columns(Matrix<const T> a, Rows<const T> columns, Matrix<T> c, const T* bias, index_t bias_row,
                  index_t bias_col, bool add) {
    const Strip s{a, columns, c, bias, bias_row, bias_col, add};
    const index_t count = (a.rows + most_rows - 1) / most_rows;
    for (index_t j = 0; j < columns.rows; j += W) {
        const index_t n = columns.rows - j < W ? columns.rows - j : W;
        index_t row = 0;
        for (index_t i = 0; i < count; ++i) {
            const index_t rows = a.rows / count + (i < a.rows % count ? 1 : 0);
            strip_of<most_rows>(rows, s, row, j, n);
            row += rows;
        }
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
