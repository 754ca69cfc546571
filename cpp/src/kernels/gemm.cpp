// The matrix product of one block: c (m, n) = a (m, k) @ b (k, n), k at most 512, on one thread and without packing of its own.
//
// Order of operations, the same on every target and for every tile: each element of c is one chain of fused multiply-adds over
// k in order, starting from 0; then it is stored, or added to what c holds (`add`), and last the bias of its column is added.
//
//         n ->  panel 0      panel 1          The columns of b come in panels of `gemm_panel` columns. Panel p starts
//   k   +------------------+-----------+      p * b_panel elements after b, its rows lie b_row elements apart:
//   |   | b[0][0 .. panel) | b[0][...] |        read in place   b_row = stride of b,  b_panel = panel
//   v   | b[1][0 .. panel) |           |        packed          b_row = panel,        b_panel = k * panel
//       +------------------+-----------+      a is read through any two strides, so a transpose costs nothing.
//
// A tile keeps R rows x V vectors of c in registers; each step loads V vectors of b and broadcasts R numbers of a. Rows are
// dealt out evenly (64 rows as 13+13+13+13+12 for tiles of 14). Columns beyond the last full vector are masked.
//
//   registers   rows x vectors of the largest tile   few rows
//   32          14 x 2                               up to 3 rows x 8, 4-7 rows x 4
//   16          6 x 2                                1 row x 8, 2-3 rows x 4
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr int accumulators = vector_registers == 32 ? 28 : 12;
constexpr int tile_rows = accumulators / 2;
constexpr index_t panel = 2 * width<T>;

// The widest tile of `rows` rows whose accumulators fit the registers.
constexpr int tile_vectors(int rows) {
    const int fit = accumulators / rows;
    return fit >= 8 ? 8 : fit >= 4 ? 4 : 2;
}

struct Block {
    index_t k;
    const T* a;
    index_t a_row, a_col;
    const T* b;
    index_t b_row;
    T* c;
    index_t c_row;
    const T* bias;  // of the tile's first column, or null
    bool add;
    index_t last;  // lanes in use in the last vector
};

template <int R, int V, bool masked>
RL_INLINE void tile(const Block& t) {
    Vec<T> sum[R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = Vec<T>{};
    const T* a = t.a;
    const T* b = t.b;
    for (index_t p = 0; p < t.k; ++p, a += t.a_col, b += t.b_row) {
        Vec<T> row[V];
        for (int v = 0; v < V; ++v)
            row[v] = masked && v == V - 1 ? load_first(b + v * width<T>, t.last) : load(b + v * width<T>);
        for (int r = 0; r < R; ++r) {
            const Vec<T> x = broadcast(a[r * t.a_row]);
            for (int v = 0; v < V; ++v) sum[r][v] = fma(x, row[v], sum[r][v]);
        }
    }
    for (int v = 0; v < V; ++v) {
        const bool partial = masked && v == V - 1;
        Vec<T> bias{};
        if (t.bias != nullptr) bias = partial ? load_first(t.bias + v * width<T>, t.last) : load(t.bias + v * width<T>);
        for (int r = 0; r < R; ++r) {
            T* c = t.c + r * t.c_row + v * width<T>;
            Vec<T> y = sum[r][v];
            if (t.add) y = (partial ? load_first(c, t.last) : load(c)) + y;
            if (t.bias != nullptr) y = y + bias;
            if (partial) store_first(c, y, t.last);
            else store(c, y);
        }
    }
}

template <int R, int V>
void strip(const Block& t) {
    if (t.last == width<T>) tile<R, V, false>(t);
    else tile<R, V, true>(t);
}

using Strip = void (*)(const Block&);

// strips[rows - 1][log2 of vectors]; null where the tile would not fit.
template <int R>
struct Strips {
    static constexpr Strip of(int log_v) {
        return log_v == 0                          ? &strip<R, 1>
               : log_v == 1                        ? &strip<R, 2>
               : log_v == 2 && tile_vectors(R) >= 4 ? &strip<R, tile_vectors(R) >= 4 ? 4 : 1>
               : log_v == 3 && tile_vectors(R) >= 8 ? &strip<R, tile_vectors(R) >= 8 ? 8 : 1>
                                                   : nullptr;
    }
};

#define RL_STRIPS(R) {Strips<R>::of(0), Strips<R>::of(1), Strips<R>::of(2), Strips<R>::of(3)}
constexpr Strip strips[tile_rows][4] = {
    RL_STRIPS(1),  RL_STRIPS(2),  RL_STRIPS(3),  RL_STRIPS(4),  RL_STRIPS(5),  RL_STRIPS(6),
#if defined(__AVX512F__) || defined(__ARM_NEON)
    RL_STRIPS(7),  RL_STRIPS(8),  RL_STRIPS(9),  RL_STRIPS(10), RL_STRIPS(11), RL_STRIPS(12),
    RL_STRIPS(13), RL_STRIPS(14),
#endif
};
#undef RL_STRIPS

}  // namespace

index_t gemm_panel() { return panel; }
index_t gemm_tile_rows() { return tile_rows; }

void gemm_block(index_t m, index_t n, index_t k, const T* a, index_t a_row, index_t a_col, const T* b, index_t b_row,
                index_t b_panel, T* c, index_t c_row, const T* bias, bool add) {
    const index_t tiles = (m + tile_rows - 1) / tile_rows;
    const bool in_place = b_panel == panel;  // then a tile may span several panels
    for (index_t j = 0; j < n;) {
        const int most = in_place ? tile_vectors(static_cast<int>(tiles == 1 ? m : tile_rows)) : 2;
        const index_t need = (n - j + width<T> - 1) / width<T>;
        int log_v = 0;
        while (2 << log_v <= most && 2 << log_v <= need) ++log_v;
        const index_t cols = index_t(1 << log_v) * width<T>;
        Block t{k, a, a_row, a_col, in_place ? b + j : b + j / panel * b_panel + j % panel, b_row, c + j, c_row,
                bias == nullptr ? nullptr : bias + j, add, n - j < cols ? n - j - (cols - width<T>) : width<T>};
        index_t done = 0;
        for (index_t i = 0; i < tiles; ++i) {
            const index_t rows = m / tiles + (i < m % tiles ? 1 : 0);
            t.a = a + done * a_row;
            t.c = c + done * c_row + j;
            strips[rows - 1][log_v](t);
            done += rows;
        }
        j += cols;
    }
}

// Packs b (k, n), read through any two strides, into panels; the last one is filled up with zeros.
void gemm_pack(index_t k, index_t n, const T* b, index_t b_row, index_t b_col, T* packed) {
    for (index_t j = 0; j < n; j += panel, packed += k * panel) {
        const index_t cols = n - j < panel ? n - j : panel;
        const T* from = b + j * b_col;
        if (b_col == 1 && cols == panel) {
            for (index_t p = 0; p < k; ++p) {
                store(packed + p * panel, load(from + p * b_row));
                store(packed + p * panel + width<T>, load(from + p * b_row + width<T>));
            }
            continue;
        }
        if (b_col == 1) {
            for (index_t p = 0; p < k; ++p)
                for (index_t q = 0; q < panel; ++q) packed[p * panel + q] = q < cols ? from[p * b_row + q] : T(0);
            continue;
        }
        // Eight rows at a time: each line of the source is read once, each line of the panel is written while it is near.
        index_t p = 0;
        for (; p + 8 <= k; p += 8)
            for (index_t q = 0; q < panel; ++q)
                for (index_t s = 0; s < 8; ++s)
                    packed[(p + s) * panel + q] = q < cols ? from[(p + s) * b_row + q * b_col] : T(0);
        for (; p < k; ++p)
            for (index_t q = 0; q < panel; ++q) packed[p * panel + q] = q < cols ? from[p * b_row + q * b_col] : T(0);
    }
}

// sum[j] = (add ? sum[j] : 0) + the sum of column j over the rows, a chain of additions in order from 0.
void column_sums(index_t rows, index_t n, const T* x, index_t x_row, T* sum, bool add) {
    for_each_vector<T>(n, [&](index_t j, auto lanes) {
        Vec<T> total{};
        for (index_t i = 0; i < rows; ++i) total = total + get(x + i * x_row + j, lanes);
        put(sum + j, add ? get(sum + j, lanes) + total : total, lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
