// One product on one thread: which kernel runs it, its blocks, and the memory they need. But for `dots` the choice
// never shows in the result: k is cut into blocks of 512 on every target, each block is one chain per element, block
// sums are added in order, then what c held (accumulate), and the bias comes last.
//
//   method    what runs it                          where
//   rows      gemm_rows: b streamed, unpacked       few rows of a or a short k, b's rows contiguous and long
//   columns   gemm_columns: b's columns streamed    few rows of a, b's columns contiguous
//   dots      gemm_dots: likewise                   one row of a: the one product with another order along k
//   tiles     gemm, b in place or packed            everything else
//   Each also with both sides exchanged, c^T = b^T @ a^T, where the columns of c would fill their vectors badly, and
//   where b's columns are contiguous and a is the smaller one to pack.
//
//   block     what                                 chosen because
//   512       rows of b: part of the definition    accuracy at large k
//   224       rows of a per pass over the panels   224 x 512 floats fit a 1 MiB second-level cache
//   2048      columns of b packed at a time        512 x 2048 floats, 4 MiB, fit the third level
//   a panel   of b packed, where one pass is all   it is used while in the second level
//   120, 60   rows of a per pass (float32, 64)     24 rows and more: 240 kB of 512 columns, half of a 512 KiB cache
//   With vectors of 64 bytes each row of a panel is whole lines, and b is read in place but where it is large and a has
//   many rows (Zen 4: 0.82 to 0.88 of the time of packing it with 24 to 64 rows of 784 x 512 and 1024 x 1024; 1000 x 1000
//   with 200 rows took 1.25 in float32, 0.9 in float64). A transposed a is read in place too: 0.92 to 0.98. With
//   shorter ones:
//   700 kB    b is packed from this size on        packing from 300 kB on cost 7 % at 64 x 784 x 128 (Zen 4, float32)
//   6 MB      the same for 5 rows and more         0.5 to 0.9 of the time from memory: 1000 x 1000 float64, 2000 x 2000
//   300 kB    where a takes several passes         0.80 to 0.86 of the time of 784 x 128 with 128 and 256 rows (Zen 3)
// 112 or 448 rows and 1024 or 4096 columns could not be told from these on a busy machine, where two runs of 1024 cubed
// with the same blocks differed by up to 30 %: the first two sizes follow from the caches, not from a measurement.
#pragma once

#include <algorithm>
#include <cstddef>

#include "ops/product.h"
#include "ops/rectify.h"
#include "table/kernel_table.h"
#include "relu_layers/views.h"

namespace relu_layers::ops {

constexpr index_t block_k = 512;
constexpr index_t block_m = 224;
constexpr index_t block_n = 2048;
constexpr index_t few_rows = 4;
// Twice as many where a is transposed, as the x of a weight's gradient is, and there are only whole vectors: a batch of
// 8 rows, 784 x 128 to 1024 x 1024, takes 0.7 to 0.85 of the time of tiles (Zen 4, both targets); 12 may take 1.2.
constexpr index_t short_k = 4;
constexpr index_t long_row_bytes = 1024;
// A shorter k does not pay for the tiles' way into the columns of c.
constexpr index_t scatter_k = 96;
// With fewer columns there is little of b to pack.
constexpr index_t few_columns = 64;
// A shorter k would not fill the lanes of gemm_dots. The same on every target, because its order of operations shows.
constexpr index_t dots_k = 16;
// b is packed from this size on, or where its rows fall on the same cache sets, if so many rows of a share the cost.
constexpr index_t pack_bytes = 700 * 1000;
constexpr index_t pack_rows = 24;
// From this size on for more than few_rows: long rows come from memory faster as a whole than in strips. With a
// transposed a, whose k is long, it cost 12 %.
constexpr index_t pack_bytes_of_some_rows = 6 * 1000 * 1000;
constexpr index_t strips_bytes = 2048;
// Where a has more rows than go over the panels at a time: in place, all of them would, and leave the second level.
constexpr index_t pack_bytes_of_many_rows = 300 * 1000;
// The same where a row of a panel is whole lines: larger b are packed from more rows of a than these on.
constexpr index_t pack_bytes_in_whole_lines = 3500 * 1000;
template <class T>
constexpr index_t pack_rows_in_whole_lines = sizeof(T) == 4 ? 128 : 224;
// A result of at most this size lies in the second level when its last panel is done: half of 512 KiB.
constexpr index_t rectified_bytes = 256 * 1024;

// Rows of a that go over packed panels at a time: 240 kB of 512 columns, half of a small second-level cache, beside the
// panel in use and the one that is on its way.
template <class T>
constexpr index_t rows_at_once = 480 / index_t(sizeof(T));
// A transposed a is packed from so many numbers in a chain on, fewer where its rows of memory fall on the same cache
// sets, for so many rows of c. That b is packed for its sake takes rows of so many bytes, or rows half as long and a
// chain twice as long: 64 columns cost 10 to 20 %; 128 of float32 give nothing with chains of 64, 0.82 to 0.88 of the
// time with 128 and 256 (Zen 3).
constexpr index_t gathered_k = 64;
constexpr index_t gathered_k_colliding = 16;
constexpr index_t gathered_rows = 128;
constexpr index_t gathered_bytes = 1024;
// Panels packed side by side: four lines of each row of b.
constexpr index_t panels_at_once = 4;

constexpr index_t rounded_up(index_t n, index_t unit) { return (n + unit - 1) / unit * unit; }

enum class Method { rows, columns, dots, tiles, packed_tiles };

// A product as the kernels take it: possibly exchanged, so that c and bias have two strides.
template <class T>
struct Plan {
    Method method;
    Matrix<const T> a;
    Matrix<const T> b;
    Matrix<T> c;
    const T* bias;
    index_t bias_row, bias_col;
    bool accumulate;
    FusedRelu<T> relu;
    bool gathered = false;  // whether a is packed beside b
};

// Whether a is transposed and worth packing: its numbers lie side by side for the rows of c, not along k.
template <class T>
bool gathers(const Matrix<const T>& a) {
    if (a.row_stride != 1 || a.col_stride < a.rows || a.rows < gathered_rows) return false;
    return a.cols >= (a.col_stride * index_t(sizeof(T)) % 2048 == 0 ? gathered_k_colliding : gathered_k);
}

// Whether a product with contiguous columns is the one that is defined by dot products.
template <class T>
bool is_dots(const Matrix<const T>& a, const T* bias) {
    return a.rows == 1 && a.col_stride == 1 && a.cols >= dots_k && bias == nullptr;
}

template <class T>
Method method_of(const KernelTable<T>& kernel, const Matrix<const T>& a, const Matrix<const T>& b) {
    if (b.col_stride != 1)
        return b.row_stride == 1 && a.rows <= kernel.gemm_columns_rows ? Method::columns : Method::packed_tiles;
    const index_t length = b.cols * index_t(sizeof(T));
    const bool whole = a.cols % short_k == 0 && b.cols % kernel.gemm_lanes == 0;
    const bool twice = a.row_stride == 1 && whole && length >= long_row_bytes / 2;
    const bool short_chains = a.cols <= (twice ? 2 * short_k : short_k) && length >= long_row_bytes / 4;
    if ((a.rows <= few_rows && length >= long_row_bytes) || short_chains) return Method::rows;
    const index_t bytes = b.rows * b.cols * index_t(sizeof(T));
    if (kernel.gemm_lanes * index_t(sizeof(T)) == 64) {
        const bool large = a.rows > pack_rows_in_whole_lines<T> && bytes > pack_bytes_in_whole_lines;
        return large ? Method::packed_tiles : Method::tiles;
    }
    if (a.rows < pack_rows) {
        const bool in_strips = a.col_stride == 1 && bytes > pack_bytes_of_some_rows && length >= strips_bytes;
        return in_strips ? Method::packed_tiles : Method::tiles;
    }
    const index_t row_bytes = b.row_stride * index_t(sizeof(T));
    const bool large = bytes > (a.rows <= rows_at_once<T> ? pack_bytes : pack_bytes_of_many_rows);
    const bool long_enough = length >= gathered_bytes || (2 * length >= gathered_bytes && a.cols >= 2 * gathered_k);
    const bool gathered = gathers(a) && long_enough;
    return large || gathered || row_bytes % 2048 == 0 ? Method::packed_tiles : Method::tiles;
}

// A stride that is never used can as well be 1.
template <class T>
Matrix<const T> with_plain_strides(Matrix<const T> a) {
    if (a.cols == 1) a.col_stride = 1;
    if (a.rows == 1) a.row_stride = a.col_stride == 1 ? a.cols : 1;
    return a;
}

// Whether c^T = b^T @ a^T pays though the rows of a are many: it reads b's contiguous columns as they are, and packs a
// instead. Its tiles are transposed on their way into c, which a shorter k does not pay for. Time over that of packing b,
// 784 x 512 and 1024 x 1024, 24 to 64 rows: 0.77 to 0.95 in float32, 0.75 to 0.9 in float64 (Zen 4, both targets); over
// that of gemm_columns with 16 rows 0.62 to 0.8, where they fill their vectors.
template <class T>
bool packs_the_smaller(const KernelTable<T>& kernel, const Matrix<const T>& a, const Matrix<const T>& b) {
    if (b.row_stride != 1 || b.col_stride == 1 || a.col_stride != 1 || b.cols < few_columns) return false;
    const bool large = b.rows * b.cols * index_t(sizeof(T)) > pack_bytes;
    const index_t most = large ? 2 * rows_at_once<T> : rows_at_once<T> * 3 / 4;
    if (a.cols < scatter_k || a.rows > most) return false;
    const index_t lanes = kernel.gemm_lanes;
    const index_t vector = lanes * index_t(sizeof(T));
    // Vectors of 16 bytes have no masks: tiles read what is left of a row number by number.
    if (a.rows <= kernel.gemm_columns_rows || vector == 16) {
        // Half vectors of float32, where transposing would read lines that collide: 0.88 and 0.97 of the time of dx of 8
        // rows of 784 x 512 and 1024 x 1024 (Zen 4); 1.1 where lines do not, and with 4 rows of float64.
        const bool collide = b.col_stride * index_t(sizeof(T)) % 2048 == 0;
        return a.rows % lanes == 0 || (vector == 64 && sizeof(T) == 4 && 2 * a.rows == lanes && collide);
    }
    return a.rows * 4 >= rounded_up(a.rows, vector == 64 ? lanes / 2 : lanes) * 3;
}

// The plan of c^T = b^T @ a^T.
template <class T>
Plan<T> exchanged(const Product<T>& p, Method method, const Matrix<const T>& a, const Matrix<const T>& b,
                  const Matrix<T>& c) {
    const Matrix<const T> b_t = transposed(b);
    FusedRelu<T> relu_t = p.relu;
    relu_t.output = transposed(relu_t.output);
    return {method, b_t, transposed(a), transposed(c), p.bias, 1, 0, p.accumulate, relu_t, gathers(b_t)};
}

template <class T>
Plan<T> plan_of(const KernelTable<T>& kernel, const Product<T>& p) {
    const Matrix<const T> a = with_plain_strides(p.a);
    const Matrix<const T> b = with_plain_strides(p.b);
    const Matrix<T> c{p.c.data, p.c.rows, p.c.cols, p.c.stride, 1};
    // Exchanged, the rows of c lie along the vectors: worth it where its columns fill less than three quarters of
    // theirs.
    const index_t lanes = kernel.gemm_lanes;
    const index_t vectors = rounded_up(b.cols, lanes);
    if (b.cols < 2 * lanes && b.cols * 4 <= vectors * 3 && a.rows >= lanes && a.rows > b.cols) {
        const bool single = b.cols == 1;
        const bool streamed = a.col_stride == 1 && b.cols <= kernel.gemm_columns_rows &&
                              (a.cols > short_k && (b.cols * 4 <= lanes || a.rows >= 4 * lanes));
        const bool in_place = a.row_stride == 1 && (single || a.cols >= scatter_k);
        if (streamed || in_place) {
            const Matrix<T> c_t = transposed(c);
            Method method = method_of(kernel, transposed(b), transposed(a));
            if (method == Method::rows && (c_t.col_stride != 1 || p.bias != nullptr)) method = Method::tiles;
            return exchanged(p, method, a, b, c);
        }
    }
    if (packs_the_smaller(kernel, a, b)) return exchanged(p, Method::packed_tiles, a, b, c);
    Method method = method_of(kernel, a, b);
    if (method == Method::columns && is_dots(a, p.bias)) method = Method::dots;
    return {method, a, b, c, p.bias, 0, 1, p.accumulate, p.relu, gathers(a)};
}

// No panel is wider than this many bytes: eight vectors of 64.
constexpr index_t widest_panel_bytes = 512;

// Elements of the panels of so many rows and columns of b, with room for the widest panel.
template <class T>
constexpr index_t panel_elements(index_t rows, index_t columns) {
    const index_t widest = widest_panel_bytes / index_t(sizeof(T));
    return rounded_up(std::min(block_k, rows) * (std::min(columns, block_n) + widest), 64 / index_t(sizeof(T)));
}

// Elements of scratch memory that run() needs, for `m` rows and `n` columns of the plan.
template <class T>
index_t scratch_elements(const Plan<T>& plan, index_t m, index_t n) {
    index_t size = 0;
    if (plan.method == Method::packed_tiles) {
        size += panel_elements<T>(plan.a.cols, n);
        if (plan.gathered)
            size += rows_at_once<T> * std::min(block_k, plan.a.cols) + widest_panel_bytes / index_t(sizeof(T));
    }
    if (plan.accumulate && plan.a.cols > block_k) size += m * n;
    return rounded_up(size, 64 / index_t(sizeof(T)));
}

// Rows [i, i + m) and columns [j, j + n) of the plan's product.
template <class T>
Plan<T> part_of(Plan<T> plan, index_t i, index_t m, index_t j, index_t n) {
    plan.a.data += i * plan.a.row_stride;
    plan.b.data += j * plan.b.col_stride;
    plan.c.data += i * plan.c.row_stride + j * plan.c.col_stride;
    if (plan.bias != nullptr) plan.bias += i * plan.bias_row + j * plan.bias_col;
    plan.relu = part_of(plan.relu, i, j);
    plan.a.rows = plan.c.rows = m;
    plan.b.cols = plan.c.cols = n;
    return plan;
}

// One block of k, b packed; the columns of c are contiguous, and the bias is theirs. Where all rows of a go over the
// panels at a time, a few panels are packed just before. A transposed a is packed too, behind them.
template <class T>
void run_panels(const KernelTable<T>& kernel, const Plan<T>& plan, bool add, T* packed) {
    const Matrix<const T>& a = plan.a;
    const Matrix<const T>& b = plan.b;
    const index_t panel = kernel.gemm_packed_panel;
    const index_t passes = (a.rows + rows_at_once<T> - 1) / rows_at_once<T>;
    const index_t rows = (a.rows + passes - 1) / passes;
    const bool forward = plan.relu.on && plan.relu.output.data == nullptr;
    const index_t together = passes == 1 ? panels_at_once * panel : block_n;
    T* const packed_rows = packed + panel_elements<T>(b.rows, b.cols);
    for (index_t j = 0; j < b.cols; j += together) {
        const index_t n = std::min(together, b.cols - j);
        kernel.gemm_pack({b.data + j * b.col_stride, b.rows, n, b.row_stride, b.col_stride}, panel, packed);
        for (index_t i = 0; i < a.rows; i += rows) {
            const index_t m = std::min(rows, a.rows - i);
            T* to = plan.c.data + i * plan.c.row_stride + j;
            Matrix<const T> rows_here{a.data + i * a.row_stride, m, a.cols, a.row_stride, a.col_stride};
            if (plan.gathered) {
                if (j == 0 || passes > 1) kernel.gemm_pack_rows(rows_here, packed_rows);
                rows_here.data = packed_rows;
            }
            kernel.gemm_packed(rows_here, plan.gathered, packed, {to, m, n, plan.c.row_stride},
                               plan.bias == nullptr ? nullptr : plan.bias + j, add,
                               {forward, plan.relu.negative_slope});
            if (!forward) rectify(kernel, part_of(plan.relu, i, j), {to, m, n, plan.c.row_stride, 1});
        }
    }
}

template <class T>
void run_tiles(const KernelTable<T>& kernel, const Plan<T>& plan, bool add, T* packed) {
    const Matrix<const T>& a = plan.a;
    const Matrix<const T>& b = plan.b;
    const Matrix<T>& c = plan.c;
    const bool pack = plan.method == Method::packed_tiles;
    if (pack && b.col_stride == 1 && a.rows > few_rows && c.col_stride == 1 &&
        (plan.bias == nullptr || plan.bias_row == 0))
        return run_panels(kernel, plan, add, packed);
    Matrix<const T> block_a = a;
    block_a.rows = std::min(a.rows, block_m);
    const index_t widest = !pack ? c.cols : a.rows > block_m ? block_n : kernel.gemm_panel(block_a, c.cols);
    // A panel's part of c has short rows: where c stays in the second level, it is rectified as a whole.
    const bool whole = widest < c.cols && c.rows * c.cols * index_t(sizeof(T)) <= rectified_bytes;
    for (index_t j = 0; j < c.cols; j += widest) {
        const index_t n = std::min(widest, c.cols - j);
        const index_t panel = kernel.gemm_panel(block_a, n);
        Matrix<const T> block_b{b.data + j * b.col_stride, b.rows, n, b.row_stride, b.col_stride};
        Rows<const T> panels{block_b.data, b.rows, n, b.row_stride};
        if (pack) {
            kernel.gemm_pack(block_b, panel, packed);
            panels = {packed, b.rows, n, panel};
        }
        for (index_t i = 0; i < c.rows; i += block_m) {
            const index_t m = std::min(block_m, c.rows - i);
            const Matrix<T> block_c{c.data + i * c.row_stride + j * c.col_stride, m, n, c.row_stride, c.col_stride};
            const T* bias = plan.bias == nullptr ? nullptr : plan.bias + i * plan.bias_row + j * plan.bias_col;
            kernel.gemm({a.data + i * a.row_stride, m, a.cols, a.row_stride, a.col_stride}, panels, panel,
                        pack ? b.rows * panel : panel, block_c, bias, plan.bias_row, add);
            if (!whole) rectify(kernel, part_of(plan.relu, i, j), block_c);
        }
    }
    if (whole) rectify(kernel, plan.relu, c);
}

// The plan's product; `memory` holds scratch_elements() elements.
template <class T>
void run(const KernelTable<T>& kernel, Plan<T> plan, T* memory) {
    const index_t k = plan.a.cols;
    if (plan.c.rows == 0 || plan.c.cols == 0) return;
    if (plan.accumulate && k > block_k) {
        // Block sums are added to each other before they are added to c.
        Plan<T> alone = plan;
        alone.accumulate = false;
        alone.c = {memory, plan.c.rows, plan.c.cols, plan.c.cols, 1};
        run(kernel, alone, memory + rounded_up(plan.c.rows * plan.c.cols, 64 / index_t(sizeof(T))));
        for (index_t i = 0; i < plan.c.rows; ++i)
            for (index_t j = 0; j < plan.c.cols; ++j)
                plan.c.data[i * plan.c.row_stride + j * plan.c.col_stride] += memory[i * plan.c.cols + j];
        return;
    }
    if (plan.method == Method::dots) {
        kernel.gemm_dots(plan.a.data, {plan.b.data, plan.b.cols, k, plan.b.col_stride}, plan.c.data, plan.accumulate);
        return rectify(kernel, plan.relu, plan.c);
    }
    const T* bias = plan.bias;
    const FusedRelu<T> relu = plan.relu;
    const Matrix<const T> a = plan.a;
    const Matrix<const T> b = plan.b;
    for (index_t p = 0; p < k; p += block_k) {
        const bool add = plan.accumulate || p > 0;
        const bool last = p + block_k >= k;
        plan.bias = last ? bias : nullptr;
        plan.relu.on = last && relu.on;
        plan.a.cols = plan.b.rows = std::min(block_k, k - p);
        plan.a.data = a.data + p * a.col_stride;
        plan.b.data = b.data + p * b.row_stride;
        if (plan.method == Method::columns)
            kernel.gemm_columns(plan.a, {plan.b.data, plan.b.cols, plan.b.rows, plan.b.col_stride}, plan.c, plan.bias,
                                plan.bias_row, plan.bias_col, add);
        else if (plan.method == Method::rows)
            kernel.gemm_rows(plan.a, {plan.b.data, plan.b.rows, plan.b.cols, plan.b.row_stride},
                             {plan.c.data, plan.c.rows, plan.c.cols, plan.c.row_stride}, plan.bias, add);
        else run_tiles(kernel, plan, add, memory);
    }
    if (plan.method == Method::rows || plan.method == Method::columns) rectify(kernel, relu, plan.c);
}

}  // namespace relu_layers::ops
