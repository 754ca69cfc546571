// Copies b (k, n), read through any two strides, into the panels that gemm.cpp reads: panel p holds columns
// [p * panel, (p + 1) * panel) of all k rows, row after row, `panel` elements each. `panel` is a multiple of the vector
// width. The last panel has room for all its columns too; those beyond n hold any value, or where the rows of b are
// contiguous 0, since gemm_packed.cpp computes with them.
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/kernel.h"
#include "simd/transpose.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr int W = static_cast<int>(width<T>);

// Panels that are filled side by side, and rows that are asked for before their turn: rows lie too far apart for the
// processor to see them coming.
constexpr index_t side_by_side = 4;
constexpr index_t rows_ahead = 8;

// Rows of b are contiguous.
void pack_rows(const Rows<const T>& b, index_t panel, T* packed) {
    const index_t together = side_by_side * panel;
    for (index_t j = 0; j < b.cols; j += together, packed += together * b.rows) {
        const index_t n = b.cols - j < together ? b.cols - j : together;
        for (index_t p = 0; p < b.rows; ++p) {
            const T* from = b.row(p) + j;
            if (p + rows_ahead < b.rows)
                for (index_t q = 0; q < n; q += 64 / index_t(sizeof(T)))
                    __builtin_prefetch(from + rows_ahead * b.stride + q);
            T* to = packed + p * panel;
            for (index_t q = 0; q < n; q += panel, to += panel * b.rows)
                for (index_t i = 0; i < panel; i += W) {
                    const index_t left = n - q - i;
                    store(to + i, left >= W ? load(from + q + i) : left > 0 ? load_first(from + q + i, left) : V{});
                }
        }
    }
}

// At the edges, or where lines collide: `columns` columns, at most W, of which `count` numbers are left.
void pack_edge(const T* from, index_t stride, index_t columns, index_t count, T* packed, index_t panel) {
    V square[W];
    load_edge<T>(square, from, stride, columns, count);
    RL_UNROLL
    for (int i = 0; i < W; ++i)
        if (i < count) store(packed + i * panel, square[i]);
}

// Columns of b are contiguous, `stride` apart.
void pack_columns(const T* b, index_t stride, index_t k, index_t columns, index_t panel, T* packed) {
    const bool collide = lines_collide<T>(stride);
    for (index_t p = 0; p < k; p += W, packed += W * panel)
        for (index_t j = 0; j < columns; j += W) {
            const T* from = b + p + j * stride;
            if (!collide && k - p >= W && columns - j >= W) {
                V square[W];
                load_transposed<T>(square, from, stride);
                RL_UNROLL
                for (int i = 0; i < W; ++i) store(packed + j + i * panel, square[i]);
            } else {
                pack_edge(from, stride, columns - j, k - p < W ? k - p : W, packed + j, panel);
            }
        }
}

}  // namespace

void gemm_pack(const Matrix<const T>& b, index_t panel, T* packed) {
    if (b.col_stride == 1) return pack_rows({b.data, b.rows, b.cols, b.row_stride}, panel, packed);
    for (index_t j = 0; j < b.cols; j += panel, packed += b.rows * panel) {
        const index_t columns = b.cols - j < panel ? b.cols - j : panel;
        const T* from = b.data + j * b.col_stride;
        if (b.row_stride == 1) {
            pack_columns(from, b.col_stride, b.rows, columns, panel, packed);
        } else {
            for (index_t p = 0; p < b.rows; ++p)
                for (index_t q = 0; q < columns; ++q) packed[p * panel + q] = from[p * b.row_stride + q * b.col_stride];
        }
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
