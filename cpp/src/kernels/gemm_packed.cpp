// c (m, n) = a (m, k) @ b (k, n) for a b that was packed once and serves many products; k <= 512.
//
//   panel 0          panel 1                Panels of gemm_packed_panel columns, one after another: all k rows of one,
//   row 0  [ v v ]   row 0  [ v v ]   ...   two vectors each, then the next. The last panel has room for all its
//   ...              ...                    columns; those beyond n hold 0, and are not stored.
//   row k-1[ v v ]   row k-1[ v v ]
//
// Elements of c are one chain over k in order, from 0, as in gemm.cpp; `add` and `bias` mean the same. Then the ReLU,
// by relu.cpp, while a tile is in the first-level cache: in every tile it would be half of their code.
//
// b is read once from wherever it lies for all rows of a: in order, so that the processor's own prefetching works, and
// across pages with the help of ours. Few rows take several panels at once, or their chains would wait for each other:
//
//   registers   rows x vectors
//   32          1 x 8, 2 x 8, 3 x 8, up to 14 x 2
//   16 and FMA  1 x 8, 2 x 6, 3 x 4, up to 6 x 2
//
// A transposed a is read a few numbers at a time, each step a row of memory further on: such lines fill the first-level
// cache beside the panel, and fall on few sets of it where rows lie a power of two apart. gemm_pack_rows puts them in the
// order in which the tiles read them:
//
//   tile 0, k numbers of each of its R rows: [0][0 .. R) [1][0 .. R) ... [k-1][0 .. R)   tile 1 ...
#define RELU_LAYERS_KERNELS "table/products.def"
#include "kernels/product_sizes.h"
#include "kernels/tile.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

// relu.cpp
void relu_forward(const T* x, T* y, index_t n, bool streaming, T negative_slope);

namespace {

constexpr int per_panel = gemm_packed_vectors;
constexpr index_t panel = gemm_packed_panel;
#if defined(__FMA__) || defined(__aarch64__)
constexpr int most_rows = vector_registers == 32 ? 14 : 6;
#else
constexpr int most_rows = 4;
#endif
constexpr int most_vectors = 8;
constexpr int few_rows = 3;
// Where rows of a fall on the same sets of the first-level cache, see gemm.cpp.
constexpr index_t most_colliding_rows = most_rows < 6 ? most_rows : 6;
// So many lines are on their way where each is used once.
constexpr index_t lines_ahead = 48;

// The numbers of a stay in registers beside the sums and one vector of b where they are few.
constexpr int vectors_of(int rows) {
    if (rows > few_rows) return per_panel;
    int vectors = most_vectors;
    while (rows * vectors + rows + 1 > vector_registers) vectors -= per_panel;
    return vectors;
}

struct Job {
    index_t k;
    index_t a_row, a_col;
    index_t c_row;
};

// Lines of b that are asked for before they are needed: in each step one for each panel, `step` elements further on.
struct Coming {
    const T* line;
    index_t step;
};

// One tile. Where the last vector has unused lanes, b holds zeros there: only what happens after the sums differs. Half a
// vector's worth of arithmetic is done where that is enough, see gemm.cpp.
template <int R, int N, bool halved>
void tile(const Job& job, const T* a, const T* b, T* c, const T* bias, Some last, Coming coming) {
    constexpr int panels = (N + per_panel - 1) / per_panel;
    constexpr int groups = (R + 2) / 3;
    const index_t a_row = job.a_row;
    const index_t a_col = job.a_col;
    const T* from[groups];
    RL_UNROLL
    for (int g = 0; g < groups; ++g) from[g] = a + 3 * g * a_row;
    const T* lines[panels];
    RL_UNROLL
    for (int p = 0; p < panels; ++p) lines[p] = b + p * job.k * panel;
    V sum[R][N];
    Half half_sum[R];
    RL_UNROLL
    for (int r = 0; r < R; ++r) {
        half_sum[r] = Half{};
        RL_UNROLL
        for (int v = 0; v < N; ++v) sum[r][v] = V{};
    }
    for (index_t left = job.k; left > 0; --left) {
        if constexpr (R <= few_rows) {
            V x[R];
            RL_UNROLL
            for (int r = 0; r < R; ++r) x[r] = broadcast(from[0][r * a_row]);
            RL_UNROLL
            for (int v = 0; v < N; ++v) {
                const V row = load(lines[v / per_panel] + v % per_panel * width<T>);
                RL_UNROLL
                for (int r = 0; r < R; ++r) sum[r][v] = fma(x[r], row, sum[r][v]);
            }
        } else if constexpr (halved && N == 1) {
            const Half row = half_of(load(lines[0]));
            RL_UNROLL
            for (int r = 0; r < R; ++r)
                half_sum[r] = fma(broadcast_to_half(from[r / 3][r % 3 * a_row]), row, half_sum[r]);
        } else {
            constexpr int whole = halved ? N - 1 : N;
            V row[N];
            RL_UNROLL
            for (int v = 0; v < N; ++v) row[v] = load(lines[v / per_panel] + v % per_panel * width<T>);
            RL_UNROLL
            for (int r = 0; r < R; ++r) {
                const V x = broadcast(from[r / 3][r % 3 * a_row]);
                RL_UNROLL
                for (int v = 0; v < whole; ++v) sum[r][v] = fma(x, row[v], sum[r][v]);
                if constexpr (halved) half_sum[r] = fma(half_of(x), half_of(row[N - 1]), half_sum[r]);
            }
        }
        RL_UNROLL
        for (int p = 0; p < panels; ++p) {
            __builtin_prefetch(coming.line + p * job.k * panel, 0, 3);
            lines[p] += panel;
        }
        coming.line += coming.step;
        RL_UNROLL
        for (int g = 0; g < groups; ++g) from[g] += a_col;
    }
    if constexpr (halved) {
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r][N - 1] = widened(half_sum[r]);
    }
    add_bias(sum, bias, last);
    write(sum, c, job.c_row, last);
}

using Tile = void (*)(const Job&, const T*, const T*, T*, const T*, Some, Coming);

struct Tiles {
    Tile of[2][most_rows][most_vectors];
};

template <int R, int N>
constexpr void fill(Tiles& tiles) {
    constexpr bool can_be_short = has_halves && R > few_rows;
    tiles.of[0][R - 1][N - 1] = &tile<R, N, false>;
    tiles.of[1][R - 1][N - 1] = &tile<R, N, can_be_short>;
    if constexpr (N < vectors_of(R)) fill<R, N + 1>(tiles);
    else if constexpr (R < most_rows) fill<R + 1, 1>(tiles);
}
constexpr Tiles all_tiles() {
    Tiles tiles{};
    fill<1, 1>(tiles);
    return tiles;
}
constexpr Tiles tiles = all_tiles();

}  // namespace

// Requires: the rows of a side by side in memory, and a.col_stride >= a.rows.
void gemm_pack_rows(const Matrix<const T>& a, T* packed) {
    const Heights heights(a.rows, most_rows);
    const index_t k = a.cols;
    // Whole vectors are stored, and what is beyond a tile's numbers is overwritten by its next ones; these are the last.
    const index_t exact = k - 1 - width<T> / heights.rows;
    const T* from = a.data;
    for (index_t p = 0; p < k; ++p, from += a.col_stride) {
        const T* next = from;
        T* tile = packed;
        for (index_t i = 0; i < heights.count; ++i) {
            const index_t height = heights.of(i);
            T* to = tile + p * height;
            if (p < exact) {
                for (index_t r = 0; r < height; r += width<T>) store(to + r, load(next + r));
            } else {
                for (index_t r = 0; r < height; ++r) to[r] = next[r];
            }
            next += height;
            tile += height * k;
        }
    }
}

void gemm_packed(const Matrix<const T>& a, bool a_packed, const T* panels, const Rows<T>& c, const T* bias, bool add,
                 const Rectifier<T>& relu) {
    const index_t offset = a.row_stride * index_t(sizeof(T)) & 4095;
    const bool collide = !a_packed && a.col_stride == 1 && (offset < 32 || offset > 4096 - 32);
    const Heights heights(a.rows, collide ? most_colliding_rows : most_rows);
    const index_t count = heights.count;
    const index_t together = vectors_of(static_cast<int>(heights.most())) * width<T>;
    const index_t vectors_there = together / width<T>;
    alignas(vector_bytes) T buffer[vector_registers * width<T>];
    Job job{a.cols, a_packed ? 1 : a.row_stride, a.col_stride, add ? together : c.stride};
    const index_t share = (panel + count - 1) / count;
    const T* from = panels;
    for (index_t j = 0; j < c.cols; j += together, from += together * a.cols) {
        const index_t columns = c.cols - j < together ? c.cols - j : together;
        const index_t vectors = (columns + width<T> - 1) / width<T>;
        const Some last{columns - (vectors - 1) * width<T>};
        const bool is_short = has_halves && last.n <= width<T> / 2;
        const T* x = a.data;
        T* y = c.data + j;
        for (index_t i = 0; i < count; ++i) {
            const index_t height = heights.of(i);
            // A single tile asks for what it needs soon; of several, each brings its share of the next panels.
            Coming coming{from + lines_ahead * per_panel / vectors_there * panel, panel};
            if (count > 1) coming = {from + together * a.cols + i * a.cols * share, share};
            if (a_packed) job.a_col = height;
            const Tile compute = tiles.of[is_short][height - 1][vectors - 1];
            const T* shift = bias == nullptr ? nullptr : bias + j;
            if (add) {
                compute(job, x, from, buffer, nullptr, last, coming);
                add_tile(buffer, together, height, columns, y, c.stride, shift);
            } else {
                compute(job, x, from, y, shift, last, coming);
            }
            if (relu.on)
                for (T* row = y; row < y + height * c.stride; row += c.stride)
                    relu_forward(row, row, columns, false, relu.negative_slope);
            x += height * (a_packed ? a.cols : a.row_stride);
            y += height * c.stride;
        }
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
