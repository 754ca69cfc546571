// What the tiles of gemm.cpp and gemm_packed.cpp share: how rows are dealt out to them, and what becomes of their sums.
#pragma once

#include "kernels/kernel.h"
#include "simd/unroll.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

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

// Vector v of N; of the last only `last` lanes are in use where it is masked.
template <int N, bool masked>
RELU_LAYERS_INLINE V load_part(const T* p, int v, index_t last) {
    return masked && v == N - 1 ? load_first(p + v * width<T>, last) : load(p + v * width<T>);
}

// Adds what c holds, where `add`, then the bias of the columns, null for none.
template <int R, int N, bool masked>
RELU_LAYERS_INLINE void add_old_and_bias(V (&sum)[R][N], const T* c, index_t c_row, bool add, const T* bias,
                                         index_t last) {
    if (add) {
        RL_UNROLL
        for (int r = 0; r < R; ++r, c += c_row) {
            RL_UNROLL
            for (int v = 0; v < N; ++v) sum[r][v] = load_part<N, masked>(c, v, last) + sum[r][v];
        }
    }
    if (bias == nullptr) return;
    RL_UNROLL
    for (int v = 0; v < N; ++v) {
        const V shift = load_part<N, masked>(bias, v, last);
        RL_UNROLL
        for (int r = 0; r < R; ++r) sum[r][v] = sum[r][v] + shift;
    }
}

template <int R, int N, bool masked>
RELU_LAYERS_INLINE void write(const V (&sum)[R][N], T* c, index_t c_row, index_t last) {
    RL_UNROLL
    for (int r = 0; r < R; ++r, c += c_row) {
        RL_UNROLL
        for (int v = 0; v < N; ++v) {
            if (masked && v == N - 1) store_first(c + v * width<T>, sum[r][v], last);
            else store(c + v * width<T>, sum[r][v]);
        }
    }
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
