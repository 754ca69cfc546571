// A whole direction of a dense layer of few numbers in one call. What costs time there is not arithmetic but getting to
// it: from product to product, to the tile that fits, to the ReLU and to the sums of the bias.
//
// The bits are those of the products in gemm.cpp, of the ReLU and of column_sums: each number is one chain of fused
// multiply-adds in order, from 0, then bias, then ReLU. So the batch, and the inputs of the forward pass, are at most
// 512: what one block of k takes. Vectors lie along the outputs of the layer, or, where it has but one, along its
// inputs; the forward pass of one output has no such axis and takes up to eight rows at a time, a number each.
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// a @ b, a of any strides, rows of b contiguous and `b_row` apart.
struct Factors {
    const T* a;
    index_t a_row, a_col;
    const T* b;
    index_t b_row;
    index_t k;
};

// R rows and N vectors of a product, from the columns `at` on, given to finish(row, at, sum, lanes).
template <int R, int N, class Use, class Finish>
RELU_LAYERS_INLINE void tile(const Factors& f, index_t row, const index_t (&at)[N], Use lanes, const Finish& finish) {
    const T* a = f.a + row * f.a_row;
    const T* b = f.b;
    V sum[R][N] = {};
    for (index_t left = f.k; left > 0; --left, a += f.a_col, b += f.b_row) {
        V from[N];
        RL_UNROLL
        for (int v = 0; v < N; ++v) from[v] = get(b + at[v], lanes);
        RL_UNROLL
        for (int r = 0; r < R; ++r) {
            const V x = broadcast(a[r * f.a_row]);
            RL_UNROLL
            for (int v = 0; v < N; ++v) sum[r][v] = fma(x, from[v], sum[r][v]);
        }
    }
    finish(row, at, sum, lanes);
}

// R rows. Where n is no multiple of a vector, the last two vectors overlap, and what both have is written twice. A row
// alone takes four vectors at a time: two chains would wait for each other.
template <int R, class Finish>
RELU_LAYERS_INLINE void rows(const Factors& f, index_t row, index_t n, const Finish& finish) {
    constexpr index_t w = width<T>;
    if (n < w) return tile<R, 1>(f, row, {0}, Tail{n}, finish);
    const auto at_most_last = [=](index_t j) { return j + w <= n ? j : n - w; };
    index_t j = 0;
    if constexpr (R == 1)
        for (; j + 2 * w < n; j += 4 * w)
            tile<R, 4>(f, row, {j, j + w, at_most_last(j + 2 * w), at_most_last(j + 3 * w)}, Full{}, finish);
    for (; j + w < n; j += 2 * w) tile<R, 2>(f, row, {j, at_most_last(j + w)}, Full{}, finish);
    if (j < n) tile<R, 1>(f, row, {n - w}, Full{}, finish);
}

template <class Finish>
void product(const Factors& f, index_t m, index_t n, const Finish& finish) {
    index_t i = 0;
    for (; i + 4 <= m; i += 4) rows<4>(f, i, n, finish);
    if (i + 2 <= m) {
        rows<2>(f, i, n, finish);
        i += 2;
    }
    if (i < m) rows<1>(f, i, n, finish);
}

template <int R, int N, class Function>
RELU_LAYERS_INLINE void each(const Function& function) {
    RL_UNROLL
    for (int r = 0; r < R; ++r) {
        RL_UNROLL
        for (int v = 0; v < N; ++v) function(r, v);
    }
}

// A tile is written to c as it is.
struct Write {
    T* c;
    index_t stride;

    template <int R, int N, class Use>
    RELU_LAYERS_INLINE void operator()(index_t row, const index_t (&at)[N], V (&sum)[R][N], Use lanes) const {
        const index_t step = stride;  // not read again after each store
        T* const to = c + row * step;
        each<R, N>([&](int r, int v) { put(to + r * step + at[v], sum[r][v], lanes); });
    }
};

// With the bias, null for none, and through the ReLU.
struct WriteOutputs {
    Write write;
    const T* bias;
    Rectifier<T> relu;

    template <int R, int N, class Use>
    RELU_LAYERS_INLINE void operator()(index_t row, const index_t (&at)[N], V (&sum)[R][N], Use lanes) const {
        const V zero = broadcast(T(0));
        const V slope = broadcast(relu.negative_slope);
        if (bias != nullptr) each<R, N>([&](int r, int v) { sum[r][v] = sum[r][v] + get(bias + at[v], lanes); });
        if (relu.on && relu.negative_slope == T(0))
            each<R, N>([&](int r, int v) { sum[r][v] = greater_of(zero, sum[r][v]); });
        else if (relu.on)
            each<R, N>([&](int r, int v) { sum[r][v] = sum[r][v] > zero ? sum[r][v] : sum[r][v] * slope; });
        write(row, at, sum, lanes);
    }
};

// As the gradient of what the ReLU with these outputs was given.
struct WriteGradients {
    Write write;
    const T* outputs;
    index_t outputs_stride;
    Rectifier<T> relu;

    template <int R, int N, class Use>
    RELU_LAYERS_INLINE void operator()(index_t row, const index_t (&at)[N], V (&sum)[R][N], Use lanes) const {
        const V zero = broadcast(T(0));
        const V slope = broadcast(relu.negative_slope);
        const T* const y = outputs + row * outputs_stride;
        const auto is_off = [&](int r, int v) { return get(y + r * outputs_stride + at[v], lanes) <= zero; };
        if (relu.on && relu.negative_slope == T(0))
            each<R, N>([&](int r, int v) { sum[r][v] = is_off(r, v) ? zero : sum[r][v]; });
        else if (relu.on) each<R, N>([&](int r, int v) { sum[r][v] = is_off(r, v) ? sum[r][v] * slope : sum[r][v]; });
        write(row, at, sum, lanes);
    }
};

RELU_LAYERS_INLINE T rectified(T v, const Rectifier<T>& relu) {
    if (!relu.on) return v;
    if (relu.negative_slope == T(0)) return v < T(0) ? T(0) : v;
    return v > T(0) ? v : v * relu.negative_slope;
}

// The one output of each of R rows.
template <int R>
RELU_LAYERS_INLINE void single_outputs(const Matrix<const T>& x, const Matrix<const T>& weight, index_t row,
                                       const T* bias, const Rectifier<T>& relu, T* y) {
    const T* from = x.data + row * x.row_stride;
    const T* w = weight.data;
    T sum[R] = {};
    const auto add = [&](index_t k) {
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = fma_scalar(from[r * x.row_stride + k], w[k * weight.row_stride], sum[r]);
    };
    index_t k = 0;
    for (; k + 2 <= x.cols; k += 2) {
        add(k);
        add(k + 1);
    }
    if (k < x.cols) add(k);
    RL_UNROLL
    for (int r = 0; r < R; ++r) y[row + r] = rectified(bias == nullptr ? sum[r] : sum[r] + *bias, relu);
}

// One chain of additions a column, from 0. The last two vectors overlap as in a product.
RELU_LAYERS_INLINE void sums_of_columns(const Matrix<const T>& x, T* sums) {
    const auto sum = [&](index_t j, auto lanes) {
        V total{};
        for (index_t i = 0; i < x.rows; ++i) total = total + get(x.data + i * x.row_stride + j, lanes);
        put(sums + j, total, lanes);
    };
    if (x.cols < width<T>) return sum(0, Tail{x.cols});
    for (index_t j = 0; j + width<T> < x.cols; j += width<T>) sum(j, Full{});
    sum(x.cols - width<T>, Full{});
}

}  // namespace

void dense_forward_small(const Matrix<const T>& x, const Matrix<const T>& weight, const T* bias,
                         const Rectifier<T>& relu, T* y) {
    const index_t out = weight.cols;
    if (out == 1) {
        index_t i = 0;
        for (; i + 8 <= x.rows; i += 8) single_outputs<8>(x, weight, i, bias, relu, y);
        for (; i + 4 <= x.rows; i += 4) single_outputs<4>(x, weight, i, bias, relu, y);
        for (; i < x.rows; ++i) single_outputs<1>(x, weight, i, bias, relu, y);
        return;
    }
    product({x.data, x.row_stride, 1, weight.data, weight.row_stride, x.cols}, x.rows, out,
            WriteOutputs{{y, out}, bias, relu});
}

// dx only of a layer with one output and a contiguous weight; null for none. dbias may be null.
void dense_backward_small(const Matrix<const T>& x, const Matrix<const T>& weight, const Matrix<const T>& dy,
                          const Rectifier<T>& relu, T* dx, T* dweight, T* dbias) {
    const index_t in = x.cols;
    const index_t out = weight.cols;
    if (dx != nullptr)
        product({dy.data, dy.row_stride, 1, weight.data, 0, 1}, x.rows, in,
                WriteGradients{{dx, in}, x.data, x.row_stride, relu});
    if (out == 1) product({dy.data, 0, dy.row_stride, x.data, x.row_stride, x.rows}, 1, in, Write{dweight, in});
    else product({x.data, 1, x.row_stride, dy.data, dy.row_stride, x.rows}, in, out, Write{dweight, out});
    if (dbias == nullptr) return;
    if (out == 1) {
        T sum = T(0);
        for (index_t i = 0; i < dy.rows; ++i) sum = sum + dy.data[i * dy.row_stride];
        *dbias = sum;
    } else {
        sums_of_columns(dy, dbias);
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
