// The blocked matrix product. k is cut into blocks of 512 on every target: each block is one chain per element, block sums are
// added in order, the bias comes last. So the result depends neither on the tile, nor on packing, nor on the threads.
//
//   block   what                                                  chosen because
//   KC 512  rows of b per block; part of the result's definition  accuracy at large k (see docs)
//   MC 224  rows of a per pass over the panels                    224 x 512 floats stay in a 1 MiB L2
//   NC 4096 columns of b packed at a time                         512 x 4096 floats (8 MiB) stay in the L3
#include <algorithm>

#include "ops/product.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {
namespace {

constexpr index_t block_k = 512;
constexpr index_t block_m = 224;
constexpr index_t block_n = 4096;
// From this many bytes on, b is packed where enough rows of a use it.
constexpr index_t pack_bytes = 256 * 1024;
constexpr index_t pack_least_rows = 24;

// Whether b is copied into panels: it must be where its rows are not contiguous; it pays where it is large or where its rows
// fall on the same cache sets, if enough rows of a share the cost.
template <class T>
bool worth_packing(const Matrix<const T>& b, index_t m) {
    if (b.col_stride != 1 && b.cols > 1) return true;
    if (m < pack_least_rows) return false;
    const index_t row_bytes = b.row_stride * index_t(sizeof(T));
    return b.rows * b.cols * index_t(sizeof(T)) > pack_bytes || row_bytes % 2048 == 0;
}

}  // namespace

template <class T>
void product(Matrix<const T> a, Matrix<const T> b, const T* bias, bool accumulate, Rows<T> c) {
    const index_t m = a.rows;
    const index_t n = b.cols;
    const index_t k = a.cols;
    if (m == 0 || n == 0) return;
    const auto& kernel = kernels<T>();
    if (k == 0) {
        if (accumulate) return;
        for (index_t i = 0; i < m; ++i)
            for (index_t j = 0; j < n; ++j) c.row(i)[j] = bias == nullptr ? T(0) : bias[j];
        return;
    }
    const index_t panel = kernel.gemm_panel();
    const index_t tile_rows = kernel.gemm_tile_rows();
    const bool pack = worth_packing(b, m);
    T* packed = nullptr;
    if (pack) {
        const index_t columns = (std::min(n, block_n) + panel - 1) / panel * panel;
        packed = static_cast<T*>(
            scratch(Scratch::pack_b, sizeof(T) * static_cast<std::size_t>(std::min(k, block_k) * columns)));
    }
    const double flop_ns = sizeof(T) == 4 ? 0.012 : 0.024;

    for (index_t jc = 0; jc < n; jc += block_n) {
        const index_t nc = std::min(block_n, n - jc);
        const index_t panels = (nc + panel - 1) / panel;
        for (index_t pc = 0; pc < k; pc += block_k) {
            const index_t kc = std::min(block_k, k - pc);
            const T* block_b = b.data + pc * b.row_stride + jc * b.col_stride;
            if (pack) {
                parallel_for(panels, 1, 0.4 * double(kc * nc), [&](index_t begin, index_t end) {
                    const index_t columns = std::min(nc, end * panel) - begin * panel;
                    kernel.gemm_pack(kc, columns, block_b + begin * panel * b.col_stride, b.row_stride, b.col_stride,
                                     packed + begin * kc * panel);
                });
            }
            const bool add = accumulate || pc > 0;
            const T* block_bias = bias != nullptr && pc + kc == k ? bias + jc : nullptr;
            // One piece of c: `rows` rows from `i`, `columns` columns from panel `p`.
            const auto piece = [&](index_t i, index_t rows, index_t p, index_t columns) {
                const index_t j = p * panel;
                for (index_t ic = i; ic < i + rows; ic += block_m) {
                    const index_t mc = std::min(block_m, i + rows - ic);
                    kernel.gemm_block(mc, columns, kc, a.data + ic * a.row_stride + pc * a.col_stride, a.row_stride,
                                      a.col_stride, pack ? packed + p * kc * panel : block_b + j,
                                      pack ? panel : b.row_stride, pack ? kc * panel : panel, c.row(ic) + jc + j, c.stride,
                                      block_bias == nullptr ? nullptr : block_bias + j, add);
                }
            };
            const double cost = flop_ns * double(m) * double(nc) * double(kc);
            if (panels >= (m + tile_rows - 1) / tile_rows)
                parallel_for(panels, 1, cost, [&](index_t begin, index_t end) {
                    piece(0, m, begin, std::min(nc, end * panel) - begin * panel);
                });
            else
                parallel_for(m, tile_rows, cost, [&](index_t begin, index_t end) { piece(begin, end - begin, 0, nc); });
        }
    }
}

template <class T>
void matmul(Matrix<const T> a, Matrix<const T> b, bool accumulate, Rows<T> c) {
    product<T>(a, b, nullptr, accumulate, c);
}

template <class T>
void matmul_stack(index_t count, Matrix<const T> a, const index_t* a_offsets, Matrix<const T> b,
                  const index_t* b_offsets, bool accumulate, Rows<T> c, const index_t* c_offsets) {
    for (index_t i = 0; i < count; ++i) {
        Matrix<const T> one_a = a;
        Matrix<const T> one_b = b;
        Rows<T> one_c = c;
        one_a.data += a_offsets[i];
        one_b.data += b_offsets[i];
        one_c.data += c_offsets[i];
        product<T>(one_a, one_b, nullptr, accumulate, one_c);
    }
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                            \
    template void product(Matrix<const T>, Matrix<const T>, const T*, bool, Rows<T>);                         \
    template void matmul(Matrix<const T>, Matrix<const T>, bool, Rows<T>);                                    \
    template void matmul_stack(index_t, Matrix<const T>, const index_t*, Matrix<const T>, const index_t*, bool, \
                               Rows<T>, const index_t*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
