// One row times a matrix whose columns are contiguous, c (n) = a (k) @ b (k, n): the dx of a single row. Every element
// is a dot product along k. As one chain it could not use vectors, and transposing b in registers costs more than
// reading it; so this one product is defined otherwise: 64 bytes of lanes collect the products, lane j those whose
// index is j modulo their number, each a chain of fused multiply-adds from 0, and are folded pairwise, lane j with lane
// j + half. That is the same on every target, and it is all that differs from the order in gemm.cpp.
//
// `columns` holds b's columns as rows, (n, k), k of any length: sums of blocks of 512 are added in order, as elsewhere,
// but block by block of one column rather than of all, since whole columns come faster. a is contiguous; `add` adds to
// what c holds.
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/kernel.h"
#include "simd/lanes.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr index_t W = width<T>;
constexpr index_t block_k = 512;
constexpr index_t most_blocks = 8;  // read in one stretch
constexpr int vectors = static_cast<int>(reduction_vectors<T>);
// Columns side by side: eight chains keep the multipliers busy. Columns that lie a multiple of 4 KiB apart share one
// set of the first-level cache, with two lines each where they are not aligned: fewer of them then.
constexpr int at_once(int most) { return most < W ? most : static_cast<int>(W); }
constexpr int side_by_side = at_once(8 / vectors);
constexpr int colliding = at_once(4);

// The lanes of `count` columns, folded until one vector each is left. Asking for the next columns meanwhile gained
// nothing and cost up to 40 % where columns share a set.
template <int count>
RELU_LAYERS_INLINE void collect(const T* a, const T* column, index_t stride, index_t k, V* sums) {
    V lane[count][vectors];
    RL_UNROLL
    for (int j = 0; j < count; ++j) RL_UNROLL
    for (int v = 0; v < vectors; ++v) lane[j][v] = V{};
    constexpr index_t step = vectors * W;
    index_t i = 0;
    for (; i + step <= k; i += step) {
        RL_UNROLL
        for (int v = 0; v < vectors; ++v) {
            const V x = load(a + i + v * W);
            RL_UNROLL
            for (int j = 0; j < count; ++j) lane[j][v] = fma(x, load(column + j * stride + i + v * W), lane[j][v]);
        }
    }
    RL_UNROLL
    for (int v = 0; v < vectors; ++v) {
        const index_t left = k - i - v * W;
        if (left <= 0) break;
        const index_t n = left < W ? left : W;
        const V x = load_first(a + i + v * W, n);
        RL_UNROLL
        for (int j = 0; j < count; ++j) lane[j][v] = fma(x, load_first(column + j * stride + i + v * W, n), lane[j][v]);
    }
    RL_UNROLL
    for (int j = 0; j < count; ++j) {
        if constexpr (vectors == 4) {
            lane[j][0] = lane[j][0] + lane[j][2];
            lane[j][1] = lane[j][1] + lane[j][3];
        }
        if constexpr (vectors >= 2) lane[j][0] = lane[j][0] + lane[j][1];
        sums[j] = lane[j][0];
    }
}

// One vector of sums for each of W columns.
template <int count>
RELU_LAYERS_INLINE void collect_all(const T* a, const T* column, index_t stride, index_t k, V* sums) {
    RL_UNROLL
    for (int part = 0; part < W / count; ++part)
        collect<count>(a, column + part * count * stride, stride, k, sums + part * count);
}

// n columns, fewer than W.
RELU_LAYERS_INLINE void collect_some(const T* a, const T* column, index_t stride, index_t k, index_t n, V* sums) {
    index_t j = 0;
    if constexpr (W > 4)
        for (; j + 4 <= n; j += 4) collect<4>(a, column + j * stride, stride, k, sums + j);
    for (; j < n; ++j) collect<1>(a, column + j * stride, stride, k, sums + j);
}

// The sums of n columns from one vector each; the last stands for those that do not exist.
RELU_LAYERS_INLINE V fold(const V* sums, index_t n) {
    V rows[W];
    RL_UNROLL
    for (int i = 0; i < W; ++i) rows[i] = sums[i < n ? i : n - 1];
    return fold_rows<T>(rows, [](V left, V right) { return left + right; });
}

// W columns of more than one block, up to most_blocks of them: each group of columns is read whole, since memory comes
// faster in long stretches.
template <int count>
void long_columns(const T* a, const T* column, index_t stride, index_t k, V (&square)[most_blocks][W]) {
    for (index_t j = 0; j < W; j += count)
        for (index_t p = 0; p < k; p += block_k)
            collect<count>(a + p, column + j * stride + p, stride, k - p < block_k ? k - p : block_k,
                           square[p / block_k] + j);
}

}  // namespace

void gemm_dots(const T* a, const Rows<const T>& columns, T* c, bool add) {
    const bool collide = lines_collide<T>(columns.stride);
    V square[most_blocks][W];
    for (index_t j = 0; j < columns.rows; j += W) {
        const index_t n = columns.rows - j < W ? columns.rows - j : W;
        V total{};
        for (index_t p = 0; p < columns.cols;) {
            const index_t left = columns.cols - p;
            const T* column = columns.row(j) + p;
            index_t k = left < block_k ? left : block_k;
            if (n < W) {
                collect_some(a + p, column, columns.stride, k, n, square[0]);
            } else if (left > block_k) {
                k = left < most_blocks * block_k ? left : most_blocks * block_k;
                if (collide) long_columns<colliding>(a + p, column, columns.stride, k, square);
                else long_columns<side_by_side>(a + p, column, columns.stride, k, square);
            } else if (collide) {
                collect_all<colliding>(a + p, column, columns.stride, k, square[0]);
            } else {
                collect_all<side_by_side>(a + p, column, columns.stride, k, square[0]);
            }
            for (index_t q = 0; q < k; q += block_k) {
                const V sums = n == W ? fold(square[q / block_k], W) : fold(square[q / block_k], n);
                total = p + q == 0 ? sums : total + sums;
            }
            p += k;
        }
        if (n == W) store(c + j, add ? load(c + j) + total : total);
        else store_first(c + j, add ? load_first(c + j, n) + total : total, n);
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
