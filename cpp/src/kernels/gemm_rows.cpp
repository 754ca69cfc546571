// c (m, n) = a (m, k) @ b (k, n) where the rows of b are contiguous and m or k is small, so that the time is that of
// reading b or writing c. b is read once, eight rows side by side; the running sums of a few rows of c stay in the
// first-level cache.
//
//   step        b (k, n)                   Elements of c are one chain over k in order, from 0, carried from step to
//    0   [ row 0 .. row 7  ------> n ]     step; then as in gemm.cpp: stored, or added to what c holds (`add`), bias
//    1   [ row 8 .. row 15 ------> n ]     last.
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// Running sums held at a time, in bytes: half a first-level cache.
constexpr index_t sums_bytes = 16384;
constexpr int most_rows = 4;
// Rows of b in one step, for R rows of a: their products' numbers of a fill half the registers.
constexpr int step_rows(int rows) {
    return vector_registers == 32 ? (rows <= 2 ? 8 : 4) : (rows == 1 ? 8 : rows == 2 ? 4 : 2);
}

// One step: sum (R, n) continues over rows [0, U) of b.
template <int R, int U, bool first>
RELU_LAYERS_INLINE void step(const T* a, index_t a_row, index_t a_col, const T* b, index_t b_row, index_t n, T* sum,
                             index_t sum_row) {
    V x[R][U];
    RL_UNROLL
    for (int r = 0; r < R; ++r) {
        RL_UNROLL
        for (int u = 0; u < U; ++u) x[r][u] = broadcast(a[r * a_row + u * a_col]);
    }
    for_each_vector<T>(n, [&](index_t j, auto lanes) {
        V y[R];
        RL_UNROLL
        for (int r = 0; r < R; ++r) {
            if constexpr (first) y[r] = V{};
            else y[r] = get(sum + r * sum_row + j, lanes);
        }
        RL_UNROLL
        for (int u = 0; u < U; ++u) {
            const V row = get(b + u * b_row + j, lanes);
            RL_UNROLL
            for (int r = 0; r < R; ++r) y[r] = fma(x[r][u], row, y[r]);
        }
        RL_UNROLL
        for (int r = 0; r < R; ++r) put(sum + r * sum_row + j, y[r], lanes);
    });
}

template <int R, int U, bool first>
RELU_LAYERS_INLINE void step_of(index_t rows, const T* a, index_t a_row, index_t a_col, const T* b, index_t b_row,
                                index_t n, T* sum, index_t sum_row) {
    if (rows >= U) step<R, U, first>(a, a_row, a_col, b, b_row, n, sum, sum_row);
    else if constexpr (U > 1) step_of<R, U / 2, first>(rows, a, a_row, a_col, b, b_row, n, sum, sum_row);
}
constexpr index_t rows_of_step(index_t left, int most) {
    index_t rows = most;
    while (rows > left) rows /= 2;
    return rows;
}

// R rows of c, n columns. The sums run in c itself where they need not be added to it, else in `buffer`.
template <int R>
void rows(const Matrix<const T>& a, const T* b, index_t b_row, T* c, index_t c_row, index_t n, const T* bias, bool add,
          T* buffer) {
    constexpr int most = step_rows(R);
    T* sum = add ? buffer : c;
    const index_t sum_row = add ? n : c_row;
    index_t done = rows_of_step(a.cols, most);
    step_of<R, most, true>(done, a.data, a.row_stride, a.col_stride, b, b_row, n, sum, sum_row);
    while (done < a.cols) {
        const index_t now = rows_of_step(a.cols - done, most);
        step_of<R, most, false>(now, a.data + done * a.col_stride, a.row_stride, a.col_stride, b + done * b_row, b_row,
                                n, sum, sum_row);
        done += now;
    }
    if (!add && bias == nullptr) return;
    for (int r = 0; r < R; ++r)
        for_each_vector<T>(n, [&](index_t j, auto lanes) {
            V y = get(sum + r * sum_row + j, lanes);
            if (add) y = get(c + r * c_row + j, lanes) + y;
            if (bias != nullptr) y = y + get(bias + j, lanes);
            put(c + r * c_row + j, y, lanes);
        });
}

}  // namespace

void gemm_rows(const Matrix<const T>& a, const Rows<const T>& b, const Rows<T>& c, const T* bias, bool add) {
    alignas(64) T buffer[sums_bytes / sizeof(T)];
    // One row alone has room for longer stretches of b's rows, which come faster.
    const index_t together = a.rows < most_rows ? a.rows : most_rows;
    const index_t most_columns = sums_bytes / index_t(sizeof(T)) / together;
    for (index_t j = 0; j < c.cols; j += most_columns) {
        const index_t n = c.cols - j < most_columns ? c.cols - j : most_columns;
        const T* shift = bias == nullptr ? nullptr : bias + j;
        for (index_t i = 0; i < a.rows;) {
            Matrix<const T> x = a;
            x.data += i * a.row_stride;
            const T* from = b.data + j;
            T* to = c.row(i) + j;
            const index_t left = a.rows - i < most_rows ? a.rows - i : most_rows;
            if (left == 4) rows<4>(x, from, b.stride, to, c.stride, n, shift, add, buffer);
            else if (left == 3) rows<3>(x, from, b.stride, to, c.stride, n, shift, add, buffer);
            else if (left == 2) rows<2>(x, from, b.stride, to, c.stride, n, shift, add, buffer);
            else rows<1>(x, from, b.stride, to, c.stride, n, shift, add, buffer);
            i += left;
        }
    }
}

// sum[j] = the sum of column j, a chain of additions in order from 0; added to what sum holds where `add`.
void column_sums(const Rows<const T>& x, T* sum, bool add) {
    constexpr int group = 4;
    index_t j = 0;
    for (; j + group * width<T> <= x.cols; j += group * width<T>) {
        V total[group] = {};
        for (index_t i = 0; i < x.rows; ++i) {
            RL_UNROLL
            for (int v = 0; v < group; ++v) total[v] = total[v] + load(x.row(i) + j + v * width<T>);
        }
        RL_UNROLL
        for (int v = 0; v < group; ++v) {
            T* to = sum + j + v * width<T>;
            store(to, add ? load(to) + total[v] : total[v]);
        }
    }
    for_each_vector<T>(x.cols - j, [&](index_t q, auto lanes) {
        V total{};
        for (index_t i = 0; i < x.rows; ++i) total = total + get(x.row(i) + j + q, lanes);
        T* to = sum + j + q;
        put(to, add ? get(to, lanes) + total : total, lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
