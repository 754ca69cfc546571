// What the tiles of gemm.cpp and gemm_packed.cpp share: how rows are dealt out to them, and what becomes of their sums.
#pragma once

#include "kernels/kernel.h"
#include "simd/half.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

using Half = decltype(half_of(V{}));

// Divisions cost more than a small tile: most counts here are 1.
constexpr index_t ceil_div(index_t a, index_t b) { return a <= b ? 1 : (a + b - 1) / b; }

// Rows dealt out evenly to tiles of at most `most`: the first `longer` have one more than `rows`.
struct Heights {
    index_t count, rows, longer;

    RELU_LAYERS_INLINE Heights(index_t all, index_t most)
        : count(ceil_div(all, most)), rows(all / count), longer(all - rows * count) {}
    RELU_LAYERS_INLINE index_t of(index_t tile) const { return rows + (tile < longer ? 1 : 0); }
    RELU_LAYERS_INLINE index_t most() const { return longer > 0 ? rows + 1 : rows; }
};

// Adds the bias of the columns, null for none. `last` are the lanes in use of the last of a row's N vectors.
template <int R, int N, class Use>
RELU_LAYERS_INLINE void add_bias(V (&sum)[R][N], const T* bias, Use last) {
    if (bias == nullptr) return;
    RL_UNROLL
    for (int v = 0; v < N; ++v) {
        const V shift = v < N - 1 ? load(bias + v * width<T>) : get(bias + v * width<T>, last);
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r][v] = sum[r][v] + shift;
    }
}

// Adds a finished tile to c, then the bias of the columns, null for none. In every tile this would be a fourth of the code.
RELU_LAYERS_NOINLINE void add_tile(const T* tile, index_t tile_row, index_t rows, index_t columns, T* c, index_t c_row,
                                   const T* bias) {
    for (index_t r = 0; r < rows; ++r, c += c_row, tile += tile_row)
        for_each_vector<T>(columns, [=](index_t j, auto lanes) {
            const V sum = get(c + j, lanes) + load(tile + j);
            put(c + j, bias == nullptr ? sum : sum + get(bias + j, lanes), lanes);
        });
}

// A mask costs next to nothing as a vector is read, but some four cycles as it is stored (Zen 4).
RELU_LAYERS_INLINE bool is_whole(Full) { return true; }
RELU_LAYERS_INLINE bool is_whole(Tail) { return false; }
RELU_LAYERS_INLINE bool is_whole(Some some) { return some.n == width<T>; }

template <int R, int N, class Use>
RELU_LAYERS_INLINE void write(const V (&sum)[R][N], T* c, index_t c_row, Use last) {
    T* to = c;
    RL_UNROLL
    for (int r = 0; r < R; ++r, to += c_row) {
        RL_UNROLL
        for (int v = 0; v < N - 1; ++v) store(to + v * width<T>, sum[r][v]);
    }
    to = c + (N - 1) * width<T>;
    if (is_whole(last)) {
        RL_UNROLL
        for (int r = 0; r < R; ++r, to += c_row) store(to, sum[r][N - 1]);
    } else {
        RL_UNROLL
        for (int r = 0; r < R; ++r, to += c_row) put(to, sum[r][N - 1], last);
    }
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
