// The matrix product of one block, c (m, n) = a (m, k) @ b (k, n), on one thread.
//
// Order of operations, the same on every target and for every tile: each element of c is one chain of fused
// multiply-adds over k in order, starting from 0; it is stored, or added to what c holds (`add`); last the bias of its
// column is added. The caller cuts k into blocks of 512 and calls once a block.
//
// Requires: k >= 1; a through any two strides, so that a transpose costs nothing; b in panels of `panel` columns, a
// width that gemm_panel gave for this a and n:
//
//         n ->  panel 0      panel 1          Panel p starts p * panel_stride elements after b, its rows lie b.stride
//   k   +------------------+-----------+      elements apart:
//   |   | b[0][0 .. panel) | b[0][...] |        read in place   b.stride as it is,  panel_stride = panel
//   v   | b[1][0 .. panel) |           |        packed          b.stride = panel,   panel_stride = k * panel
//       +------------------+-----------+      Nothing is read beyond column n.
//
// The columns of c may lie col_stride apart, for products with both sides exchanged, c^T = b^T @ a^T; then the bias
// belongs to the rows, `bias_row` (0 or 1) apart. Where col_stride is 1 it belongs to the columns.
//
// A tile keeps R rows x N vectors of c in registers; each step loads N vectors of b and broadcasts R numbers of a.
// Vectors lie along n, never along k. Every tile that leaves room for its row of b and one number of a is instantiated,
// so rows are dealt out evenly (64 rows as 8 times 8) and few rows take more vectors; the last vector is masked.
//
//   registers   largest tile, rows x vectors            fewer rows
//   32           9 x 3                                  6 x 4, 5 x 5, 4 x 6, 3 x 7, 2 x 8, 1 x 8
//   16 and FMA   6 x 2                                  4 x 3 (3 x 3), 2 x 5, 1 x 7
//   16           4 x 2                                  as far as they fit
//
// 14 x 2 fits 32 registers too, and was 1 to 4 % slower (Zen 4): it stores into 14 rows of c, which fall on few sets of a
// cache, and reads a as often for two vectors as 9 x 3 for three. NEON takes the first line, by reasoning and not by
// timing: no ARM processor was at hand. Its vectors are a quarter as long, and 9 x 3 loads 12 times for 27 fused
// multiply-adds; a core with two pipes for each can feed that.
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/tile.h"
#include "simd/transpose.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

#if defined(__FMA__) || defined(__aarch64__)
constexpr int spare_registers = 1;  // the number of a
constexpr int most_rows = vector_registers == 32 ? 9 : 6;
#else
constexpr int spare_registers = 2;  // and a product
constexpr int most_rows = 4;
#endif
constexpr int most_vectors = 8;

constexpr bool fits(int rows, int vectors) { return rows * vectors + vectors + spare_registers <= vector_registers; }

constexpr int rows_that_fit(int vectors) {
    int rows = most_rows;
    while (!fits(rows, vectors)) --rows;
    return rows;
}
constexpr int vectors_that_fit(int rows) {
    int vectors = most_vectors;
    while (!fits(rows, vectors)) --vectors;
    return vectors;
}

struct Block {
    index_t k;
    index_t a_row, a_col;
    index_t b_row;
    index_t c_row;
};

// How the last vector of a row is computed. Where a mask costs nothing, one body serves full vectors and others, and
// half a vector's worth of arithmetic is done where that is enough: it takes half the time where the units are 256 bits
// wide (Zen 4).
enum Last { full, masked, halved };

// One tile; `last` lanes of the last vector are in use. The rows of a are addressed in threes from one pointer each (p,
// p + stride, p + 2 strides are single addresses), which keeps all of them in the general registers.
template <int R, int N, Last kind>
void tile(const Block& block, const T* a, const T* b, T* c, const T* bias, index_t last) {
    const auto lanes = [=] {
        if constexpr (kind == full) return Full{};
        else if constexpr (kind == masked && has_halves) return Some{last};
        else return Tail{last};
    }();
    constexpr int whole = kind == halved ? N - 1 : N;
    constexpr int groups = (R + 2) / 3;
    const index_t a_row = block.a_row;
    const index_t a_col = block.a_col;
    const index_t b_row = block.b_row;
    const T* from[groups];
    RL_UNROLL
    for (int g = 0; g < groups; ++g) from[g] = a + 3 * g * a_row;
    Vec<T> sum[R][N];
    Half half_sum[R];
    RL_UNROLL
    for (int r = 0; r < R; ++r) {
        half_sum[r] = Half{};
        RL_UNROLL
        for (int v = 0; v < N; ++v) sum[r][v] = Vec<T>{};
    }
    for (index_t left = block.k; left > 0; --left) {
        Vec<T> row[N];
        Half half_row{};
        RL_UNROLL
        for (int v = 0; v < N - 1; ++v) row[v] = load(b + v * width<T>);
        const T* end = b + (N - 1) * width<T>;
        if constexpr (kind == halved) half_row = load_half(end, last);
        else if (is_whole(lanes)) row[N - 1] = load(end);
        else row[N - 1] = get(end, lanes);
        RL_UNROLL
        for (int r = 0; r < R; ++r) {
            const T number = from[r / 3][r % 3 * a_row];
            if constexpr (whole == 0) {
                half_sum[r] = fma(broadcast_to_half(number), half_row, half_sum[r]);
                continue;
            }
            const Vec<T> x = broadcast(number);
            RL_UNROLL
            for (int v = 0; v < whole; ++v) sum[r][v] = fma(x, row[v], sum[r][v]);
            if constexpr (kind == halved) half_sum[r] = fma(half_of(x), half_row, half_sum[r]);
        }
        RL_UNROLL
        for (int g = 0; g < groups; ++g) from[g] += a_col;
        b += b_row;
    }
    if constexpr (kind == halved) {
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r][N - 1] = widened(half_sum[r]);
    }
    add_bias(sum, bias, lanes);
    write(sum, c, block.c_row, lanes);
}

using Tile = void (*)(const Block&, const T*, const T*, T*, const T*, index_t);

// The second of each pair where `is_short`.
struct Tiles {
    Tile of[2][most_rows][most_vectors];
};

// Of more vectors than these, half of the last one is little.
constexpr int most_with_half = 4;
constexpr Last longer = has_halves ? masked : full;
constexpr Last shorter(int vectors) { return has_halves && vectors <= most_with_half ? halved : masked; }

template <int R, int N>
constexpr void fill(Tiles& tiles) {
    if constexpr (fits(R, N)) {
        tiles.of[0][R - 1][N - 1] = &tile<R, N, longer>;
        tiles.of[1][R - 1][N - 1] = &tile<R, N, shorter(N)>;
    }
    if constexpr (N < most_vectors) fill<R, N + 1>(tiles);
    else if constexpr (R < most_rows) fill<R + 1, 1>(tiles);
}
constexpr Tiles all_tiles() {
    Tiles tiles{};
    fill<1, 1>(tiles);
    return tiles;
}
constexpr Tiles tiles = all_tiles();

// `last` lanes of the last vector are in use.
RELU_LAYERS_INLINE bool is_short(index_t last) { return has_halves ? last <= width<T> / 2 : last < width<T>; }

struct Widest {
    index_t vectors[most_rows + 1];
};
constexpr Widest widest_tiles() {
    Widest widest{};
    for (int rows = 1; rows <= most_rows; ++rows) widest.vectors[rows] = vectors_that_fit(rows);
    return widest;
}
constexpr Widest widest = widest_tiles();

// Rows of a that lie a multiple of 4 KiB apart share one set of an 8-way first-level cache: more than 6 of them evict
// each other before their line is used up.
index_t row_limit(const Matrix<const T>& a) {
    const index_t offset = a.row_stride * index_t(sizeof(T)) & 4095;
    return a.col_stride == 1 && (offset < 32 || offset > 4096 - 32) && most_rows > 6 ? 6 : most_rows;
}

// A finished tile goes to a c whose rows are not contiguous: the bias belongs to the row then.
RELU_LAYERS_NOINLINE void scatter(const T* tile, index_t tile_row, index_t rows, index_t columns, T* c, index_t c_row,
                                  index_t c_col, const T* bias, index_t bias_row, bool add) {
    if (c_row != 1 || (bias != nullptr && bias_row != 1)) {
        for (index_t j = 0; j < columns; ++j, c += c_col)
            for (index_t r = 0; r < rows; ++r) {
                T y = tile[r * tile_row + j];
                if (add) y = c[r * c_row] + y;
                c[r * c_row] = bias == nullptr ? y : y + bias[r * bias_row];
            }
        return;
    }
    for (index_t r = 0; r < rows; r += width<T>) {
        const Some those{rows - r < width<T> ? rows - r : width<T>};
        const V shift = bias == nullptr ? V{} : get(bias + r, those);
        for (index_t j = 0; j < columns; j += width<T>) {
            V square[width<T>];
            load_edge<T>(square, tile + r * tile_row + j, tile_row, those.n, width<T>);
            RL_UNROLL
            for (int i = 0; i < width<T>; ++i) {
                if (j + i >= columns) break;
                T* to = c + (j + i) * c_col + r;
                V y = square[i];
                if (add) y = get(to, those) + y;
                if (bias != nullptr) y = y + shift;
                put(to, y, those);
            }
        }
    }
}

}  // namespace

// Columns of one panel for a product with this a and n columns.
index_t gemm_panel(const Matrix<const T>& a, index_t n) {
    const index_t rows = ceil_div(a.rows, ceil_div(a.rows, row_limit(a)));
    const index_t wanted = ceil_div(n, width<T>);
    index_t vectors = vectors_that_fit(static_cast<int>(rows));
    if (vectors == 2 && wanted == 3) vectors = 3;
    return (wanted < vectors ? wanted : vectors) * width<T>;
}

// c = a @ b (+ bias) with as little around the tiles as can be, for 1 <= k <= 512 and a c of few numbers, but at least
// one: b is read in place. References, because copies of views cannot be forwarded from store to load and cost more
// than the product.
void gemm_small(const Matrix<const T>& a, const Rows<const T>& b, const Rows<T>& c, const T* bias) {
    const index_t m = c.rows;
    const index_t n = c.cols;
    const Block block{b.rows, a.row_stride, a.col_stride, b.stride, c.stride};
    const index_t count = ceil_div(m, most_rows);
    const index_t height = count == 1 ? m : ceil_div(m, count);
    const index_t all = (n + width<T> - 1) / width<T>;
    const index_t vectors = all < widest.vectors[height] ? all : widest.vectors[height];
    for (index_t j = 0; j < n; j += vectors * width<T>) {
        const index_t columns = n - j < vectors * width<T> ? n - j : vectors * width<T>;
        const index_t used = (columns + width<T> - 1) / width<T>;
        const index_t last = columns - (used - 1) * width<T>;
        const auto& table = tiles.of[is_short(last)];
        const T* shift = bias == nullptr ? nullptr : bias + j;
        for (index_t i = 0; i < m; i += height) {
            const index_t rows = m - i < height ? m - i : height;
            table[rows - 1][used - 1](block, a.data + i * a.row_stride, b.data + j, c.row(i) + j, shift, last);
        }
    }
}

void gemm(const Matrix<const T>& a, const Rows<const T>& b, index_t panel, index_t panel_stride, const Matrix<T>& c,
          const T* bias, index_t bias_row, bool add) {
    const bool direct = c.col_stride == 1 && (bias == nullptr || bias_row == 0);
    alignas(vector_bytes) T buffer[vector_registers * width<T>];
    const Block block{a.cols, a.row_stride, a.col_stride, b.stride, direct && !add ? c.row_stride : panel};
    const index_t fitting = rows_that_fit(static_cast<int>(panel / width<T>));
    const index_t limit = row_limit(a);
    const Heights heights(a.rows, fitting < limit ? fitting : limit);
    const T* from = b.data;
    for (index_t j = 0; j < c.cols; j += panel, from += panel_stride) {
        const index_t columns = c.cols - j < panel ? c.cols - j : panel;
        const index_t vectors = ceil_div(columns, width<T>);
        const index_t last = columns - (vectors - 1) * width<T>;
        const auto& table = tiles.of[is_short(last)];
        const T* x = a.data;
        T* y = c.data + j * c.col_stride;
        index_t row = 0;
        for (index_t i = 0; i < heights.count; ++i) {
            const index_t height = heights.of(i);
            const Tile compute = table[height - 1][vectors - 1];
            if (direct && !add) {
                compute(block, x, from, y, bias == nullptr ? nullptr : bias + j, last);
            } else if (direct) {
                compute(block, x, from, buffer, nullptr, last);
                add_tile(buffer, panel, height, columns, y, c.row_stride, bias == nullptr ? nullptr : bias + j);
            } else {
                compute(block, x, from, buffer, nullptr, last);
                scatter(buffer, panel, height, columns, y, c.row_stride, c.col_stride,
                        bias == nullptr ? nullptr : bias + row * bias_row, bias_row, add);
            }
            x += height * a.row_stride;
            y += height * c.row_stride;
            row += height;
        }
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
