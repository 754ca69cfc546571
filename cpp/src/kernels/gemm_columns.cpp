// c (m, n) = a (m, k) @ b (k, n) where the columns of b are contiguous and m is small: a dense layer's dx for a small
// batch, and with both sides exchanged, c^T = b^T @ a^T, a product with few columns. Squares of b are transposed in
// registers, used and forgotten: b is read once, in order, and never written.
//
//         k ->                           W columns of b, W numbers of each, become W vectors of b's rows; each is
//   n   +--------+--------+----          multiplied by one number of each row of a. Elements of c are one chain over k
//   |   | square | square | ...          in order, as in gemm.cpp, and `add` and `bias` mean the same.
//   v   +--------+--------+----
//
// Requires k <= 512. More than four rows of a are copied, interleaved, for each group of rows.
//
// `columns` holds b's columns as rows, (n, k). c and bias are addressed through two strides: element (i, j) gets
// bias[i * bias_row + j * bias_col].
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/kernel.h"
#include "kernels/product_sizes.h"
#include "simd/transpose.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr index_t W = width<T>;
constexpr int most_rows = static_cast<int>(gemm_columns_rows);
// With 32 registers so many running sums fit beside a square of b. More take its rows from memory: written once, they cost
// less than packing b (dx of 16 rows, 784 x 512, Zen 4: 0.7 of the packed product's time in float32, 0.5 in float64). With
// 16 it is quicker to let the compiler spill: dx of 5 to 12 rows took 0.75 of the time in float64, 0.87 in float32 (Zen
// 3). No more than RL_UNROLL unrolls.
constexpr int most_in_registers = vector_registers == 32 ? 28 - static_cast<int>(W) : most_rows;
// Where lines collide, whole lines of the square are transposed, which more rows pay for: five in float64 by 12 %. In
// float32 it was 2 to 5 %, for 6 kB of a wheel.
constexpr int most_colliding = vector_registers == 32 ? (W == 8 ? 7 : 4) : most_rows;
constexpr index_t most_k = 512;

struct Output {
    Matrix<T> c;
    const T* bias;
    index_t bias_row, bias_col;
    bool add;
};

// So few rows of a are read where they lie, from a pointer each; more would not leave registers for the pointers.
constexpr int most_pointers = 4;

// Where element (r, i) of R rows of a lies in x: in rows x_row apart, or with the numbers of a column side by side.
template <int R>
RELU_LAYERS_INLINE index_t place(index_t r, index_t i, index_t x_row) {
    return R <= most_pointers ? r * x_row + i : i * R + r;
}

// Continues the sums over one square: W columns from `from` on, W numbers of each.
template <int R, bool collide>
RELU_LAYERS_INLINE void add_square(V (&sum)[R], const T* x, index_t x_row, const T* from, index_t stride) {
    V square[W];
    if constexpr (collide) {
        RL_UNROLL
        for (int i = 0; i < W; ++i) square[i] = load(from + i * stride);
        transpose<T>(square);
    } else {
        load_transposed<T>(square, from, stride);
    }
    RL_UNROLL
    for (int i = 0; i < W; ++i) {
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = fma(broadcast(x[place<R>(r, i, x_row)]), square[i], sum[r]);
    }
}

// A square at the edges, or one of more rows than fit the registers: `columns` columns, of which `count` numbers are
// left. Number i of column j goes to rows[i * row + j]; whole vectors are stored.
RELU_LAYERS_NOINLINE void read_edge(const T* from, index_t stride, index_t columns, index_t count, T* rows,
                                    index_t row) {
    V square[W];
    load_edge<T>(square, from, stride, columns, count);
    RL_UNROLL
    for (int i = 0; i < W; ++i)
        if (i < count) store(rows + i * row, square[i]);
}

template <int R>
RELU_LAYERS_INLINE void add_edge(V (&sum)[R], const T* x, index_t x_row, const T* from, index_t stride, index_t columns,
                                 index_t count) {
    alignas(vector_bytes) T rows[W * W];
    read_edge(from, stride, columns, count, rows, W);
    for (index_t i = 0; i < count; ++i) {
        const V row = load(rows + i * W);
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = fma(broadcast(x[place<R>(r, i, x_row)]), row, sum[r]);
    }
}

// Element (i, j) of c, j < n, from sums[i * W + j].
RELU_LAYERS_NOINLINE void finish(const Output& out, const T* sums, index_t row, index_t rows, index_t column,
                                 index_t n) {
    for (index_t i = row; i < row + rows; ++i, sums += W) {
        T* to = out.c.data + i * out.c.row_stride + column * out.c.col_stride;
        const T* bias = out.bias == nullptr ? nullptr : out.bias + i * out.bias_row + column * out.bias_col;
        for (index_t j = 0; j < n; ++j) {
            T y = sums[j];
            T& old = to[j * out.c.col_stride];
            if (out.add) y = old + y;
            old = bias == nullptr ? y : y + bias[j * out.bias_col];
        }
    }
}

// A strip of n columns, at most W: the sum of row r and column j goes to to[r * to_row + j], with W numbers in each row.
template <int R>
void strip(const T* x, index_t x_row, index_t k, const T* from, index_t stride, index_t n, T* to, index_t to_row) {
    V sum[R];
    RL_UNROLL
    for (int r = 0; r < R; ++r) sum[r] = V{};
    constexpr index_t step = R <= most_pointers ? W : W * R;
    index_t left = k;
    const bool collide = lines_collide<T>(stride);
    if constexpr (R <= most_in_registers) {
        if (n == W && !collide)
            for (; left >= W; left -= W, from += W, x += step) add_square<R, false>(sum, x, x_row, from, stride);
    }
    if constexpr (R <= most_colliding) {
        if (n == W && collide)
            for (; left >= W; left -= W, from += W, x += step) add_square<R, true>(sum, x, x_row, from, stride);
    }
    for (; left > 0; left -= W, from += W, x += step) add_edge<R>(sum, x, x_row, from, stride, n, left < W ? left : W);
    RL_UNROLL
    for (int r = 0; r < R; ++r) store(to + r * to_row, sum[r]);
}

// The numbers of `rows` rows of a, those of one column side by side: x[p * rows + r]. Whole vectors are stored, the last
// rows first: what is beyond a column's numbers is overwritten by the next, and x has room for a vector after the last.
RELU_LAYERS_NOINLINE void interleave(const T* a, index_t row_stride, index_t col_stride, index_t rows, index_t k,
                                     T* x) {
    if (col_stride != 1) {
        for (index_t p = 0; p < k; ++p, a += col_stride)
            for (index_t r = 0; r < rows; ++r) x[p * rows + r] = a[r * row_stride];
        return;
    }
    const index_t last = (rows - 1) / W * W;
    for (index_t p = 0; p < k; p += W)
        for (index_t r = last; r >= 0; r -= W)
            read_edge(a + r * row_stride + p, row_stride, rows - r < W ? rows - r : W, k - p < W ? k - p : W,
                      x + p * rows + r, rows);
}

// The rows one after another, each in order.
RELU_LAYERS_NOINLINE void gather(const T* a, index_t row_stride, index_t col_stride, index_t rows, index_t k, T* x) {
    for (index_t r = 0; r < rows; ++r, a += row_stride)
        for (index_t p = 0; p < k; ++p) *x++ = a[p * col_stride];
}

using Strip = void (*)(const T*, index_t, index_t, const T*, index_t, index_t, T*, index_t);

struct Strips {
    Strip of[most_rows + 1];
};
template <int R>
constexpr void fill(Strips& strips) {
    strips.of[R] = &strip<R>;
    if constexpr (R < most_rows) fill<R + 1>(strips);
}
constexpr Strips all_strips() {
    Strips strips{};
    fill<1>(strips);
    return strips;
}
constexpr Strips strips = all_strips();

// Rows [row, row + rows) of c.
void rows_of(index_t rows, const Matrix<const T>& a, index_t row, const Rows<const T>& columns, const Output& out) {
    T buffer[most_rows * most_k + W];
    const T* x = a.data + row * a.row_stride;
    index_t x_row = a.row_stride;
    if (rows > most_pointers || a.col_stride != 1) {
        if (rows > most_pointers) interleave(x, a.row_stride, a.col_stride, rows, a.cols, buffer);
        else gather(x, a.row_stride, a.col_stride, rows, a.cols, buffer);
        x = buffer;
        x_row = a.cols;
    }
    alignas(vector_bytes) T sums[most_rows * W];
    const Strip compute = strips.of[rows];
    const bool plain = !out.add && out.bias == nullptr;
    const index_t c_row = out.c.row_stride;
    const index_t c_col = out.c.col_stride;
    for (index_t j = 0; j < columns.rows; j += W) {
        const index_t n = columns.rows - j < W ? columns.rows - j : W;
        T* to = out.c.data + row * c_row + j * c_col;
        if (plain && c_col == 1 && n == W) {
            compute(x, x_row, a.cols, columns.row(j), columns.stride, n, to, c_row);
            continue;
        }
        compute(x, x_row, a.cols, columns.row(j), columns.stride, n, sums, W);
        if (plain && c_col == 1)
            for (index_t r = 0; r < rows; ++r) store_first(to + r * c_row, load(sums + r * W), n);
        else if (plain)
            for (index_t i = 0; i < n; ++i)
                for (index_t r = 0; r < rows; ++r) to[r * c_row + i * c_col] = sums[r * W + i];
        else finish(out, sums, row, rows, j, n);
    }
}

}  // namespace

void gemm_columns(const Matrix<const T>& a, const Rows<const T>& columns, const Matrix<T>& c, const T* bias,
                  index_t bias_row, index_t bias_col, bool add) {
    const Output out{c, bias, bias_row, bias_col, add};
    const index_t count = (a.rows + most_rows - 1) / most_rows;
    index_t row = 0;
    for (index_t i = 0; i < count; ++i) {
        const index_t rows = a.rows / count + (i < a.rows % count ? 1 : 0);
        rows_of(rows, a, row, columns, out);
        row += rows;
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
