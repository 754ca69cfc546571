// Products over threads: each thread computes whole rows or whole columns of c, with memory of its own, so that the
// result does not depend on their number.
#include "ops/product.h"

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "ops/blocked.h"
#include "ops/packed.h"
#include "dispatch/kernels.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {
namespace {

// Prices on one thread of a middling machine.
template <class T>
constexpr double multiply_add_ns = sizeof(T) == 4 ? 0.02 : 0.04;
constexpr double byte_ns = 0.015;
// Below this, planning who does what would take a good part of the time.
constexpr double least_split_ns = 2000;

template <class T>
double nanoseconds(index_t rows, index_t columns, index_t depth) {
    const double m = double(rows);
    const double n = double(columns);
    const double k = double(depth);
    return multiply_add_ns<T> * m * n * k + byte_ns * double(sizeof(T)) * (m * k + k * n + m * n);
}
template <class T>
double nanoseconds(const Product<T>& p) {
    return nanoseconds<T>(p.c.rows, p.c.cols, p.a.cols);
}

// How a plan is dealt out: `count` units of `unit` rows or columns, `grain` of them together.
struct Split {
    bool columns;
    index_t unit, count, grain;
};

template <class T>
Split split_of(const Plan<T>& plan) {
    // Of two threads each reads half of one operand and all of the other: halve the larger one. Columns also where b is
    // packed, or each thread would pack all of it, unless that is little beside a.
    constexpr index_t column_unit = 256 / index_t(sizeof(T));
    constexpr index_t row_unit = 8;
    const index_t threads = num_threads();
    const index_t by_columns = rounded_up(plan.c.cols, column_unit) / column_unit;
    const index_t by_rows = rounded_up(plan.c.rows, row_unit) / row_unit;
    const bool packed = plan.method == Method::packed_tiles && plan.c.rows <= 4 * plan.c.cols;
    const bool prefer_columns = plan.c.rows <= plan.c.cols || packed;
    const bool columns = by_columns >= (prefer_columns ? std::min(threads, by_rows) : by_rows + 1);
    const index_t count = columns ? by_columns : by_rows;
    return {columns, columns ? column_unit : row_unit, count,
            std::max<index_t>(1, (count + 2 * threads - 1) / (2 * threads))};
}

// Scratch memory, requested by the calling thread, since a worker must not throw. A range that covers everything runs
// alone and has all of it; the others have a piece each.
constexpr int most_pieces = 64;
template <class T>
class ScratchPieces {
  public:
    ScratchPieces(index_t whole, index_t piece) : whole_(whole), piece_(piece) {
        if (whole == 0) return;
        count_ = std::min(num_threads(), most_pieces);
        data_ = static_cast<T*>(scratch(Scratch::pack_b, bytes(whole, piece)));
    }
    static std::size_t bytes(index_t whole, index_t piece) {
        const index_t pieces = piece * std::min(num_threads(), most_pieces);
        return sizeof(T) * static_cast<std::size_t>(std::max(whole, pieces));
    }
    template <class Use>
    void with_piece(bool everything, Use&& use) {
        if (everything || whole_ == 0) return use(data_);
        int i = 0;
        while (taken_[i].exchange(true, std::memory_order_acquire)) i = (i + 1) % count_;
        use(data_ + i * piece_);
        taken_[i].store(false, std::memory_order_release);
    }

  private:
    index_t whole_;
    index_t piece_;
    int count_ = 1;
    T* data_ = nullptr;
    std::atomic<bool> taken_[most_pieces] = {};
};

template <class T>
index_t whole_size(const Plan<T>& plan) {
    return scratch_elements(plan, plan.c.rows, plan.c.cols);
}
template <class T>
index_t piece_size(const Plan<T>& plan, const Split& split) {
    const index_t most = split.unit * split.grain;
    return split.columns ? scratch_elements(plan, plan.c.rows, std::min(most, plan.c.cols))
                         : scratch_elements(plan, std::min(most, plan.c.rows), plan.c.cols);
}

// Nothing to add up where k is 0.
template <class T>
bool done_without_work(const Product<T>& p) {
    if (p.c.rows == 0 || p.c.cols == 0) return true;
    if (p.a.cols > 0) return false;
    for (index_t i = 0; i < p.c.rows && !p.accumulate; ++i)
        for (index_t j = 0; j < p.c.cols; ++j) p.c.row(i)[j] = p.bias == nullptr ? T(0) : p.bias[j];
    rectify(kernels<T>(), p.relu, {p.c.data, p.c.rows, p.c.cols, p.c.stride, 1});
    return true;
}

// Products of so many multiply-adds are over before a plan would be made.
constexpr index_t small_work = 64 * 1024;

// How a small product that lies well for the tiles is computed; none for any other. `exchanged` is c^T = b^T @ a^T.
enum class Small { none, exchanged, in_place, columns, dots };

template <class T>
Small small_form(const KernelTable<T>& kernel, const Product<T>& p) {
    const index_t m = p.c.rows;
    const index_t n = p.c.cols;
    const index_t k = p.a.cols;
    if (m * n * k > small_work || k > block_k || p.accumulate) return Small::none;
    if (n == 1 && m > 1 && p.a.row_stride == 1 && p.c.stride == 1 && p.bias == nullptr) return Small::exchanged;
    if (p.b.col_stride == 1 && (n > 1 || m <= 16)) return Small::in_place;
    if (p.b.row_stride != 1 || m > kernel.gemm_columns_rows) return Small::none;
    if (m > 1) return Small::columns;
    return n > 1 && is_dots(p.a, p.bias) ? Small::dots : Small::none;
}

// Computes a small product; false, and nothing done, for any other.
template <class T>
bool multiply_small(const KernelTable<T>& kernel, const Product<T>& p) {
    const index_t m = p.c.rows;
    const index_t n = p.c.cols;
    const index_t k = p.a.cols;
    // Made where it is used: a copy of a view waits for the stores of its numbers.
    const auto c = [&] { return Matrix<T>{p.c.data, m, n, p.c.stride, 1}; };
    switch (small_form(kernel, p)) {
        case Small::none:
            return false;
        case Small::exchanged:
            kernel.gemm_small({p.b.data, 1, k, 0, p.b.row_stride}, {p.a.data, k, m, p.a.col_stride},
                              {p.c.data, 1, m, m}, nullptr);
            break;
        case Small::in_place:
            kernel.gemm_small(p.a, {p.b.data, k, n, p.b.row_stride}, p.c, p.bias);
            break;
        case Small::columns:
            kernel.gemm_columns(p.a, {p.b.data, n, k, p.b.col_stride}, c(), p.bias, 0, 1, false);
            break;
        case Small::dots:
            kernel.gemm_dots(p.a.data, {p.b.data, n, k, p.b.col_stride}, p.c.data, false);
            break;
    }
    if (p.relu.on) rectify(kernel, p.relu, c());
    return true;
}

}  // namespace

template <class T>
void reserve(const Product<T>& p) {
    if (p.c.rows == 0 || p.c.cols == 0 || p.a.cols == 0) return;
    const KernelTable<T>& kernel = kernels<T>();
    if (small_form(kernel, p) != Small::none) return;
    const Plan<T> plan = plan_of(kernel, p);
    const index_t whole = whole_size(plan);
    if (whole > 0) scratch(Scratch::pack_b, ScratchPieces<T>::bytes(whole, piece_size(plan, split_of(plan))));
}

template <class T>
void multiply(const Product<T>& p) {
    if (done_without_work(p)) return;
    const KernelTable<T>& kernel = kernels<T>();
    if (multiply_small(kernel, p)) return;
    const Plan<T> plan = plan_of(kernel, p);
    const index_t whole = whole_size(plan);
    const double cost = nanoseconds(p);
    if (cost < least_split_ns && whole == 0) return run<T>(kernel, plan, nullptr);
    const Split split = split_of(plan);
    ScratchPieces<T> scratch_memory(whole, piece_size(plan, split));
    parallel_for(split.count, split.grain, cost, [&](index_t begin, index_t end) {
        scratch_memory.with_piece(begin == 0 && end == split.count, [&](T* memory) {
            const index_t first = begin * split.unit;
            const index_t last = end * split.unit;
            if (split.columns) {
                const index_t n = std::min(last, plan.c.cols) - first;
                run(kernel, part_of(plan, 0, plan.c.rows, first, n), memory);
            } else {
                const index_t m = std::min(last, plan.c.rows) - first;
                run(kernel, part_of(plan, first, m, 0, plan.c.cols), memory);
            }
        });
    });
}

template <class T>
void multiply_packed(const Matrix<const T>& a, const PackedWeight<T>& b, const T* bias, Rectifier<T> relu, T* c) {
    const KernelTable<T>& kernel = kernels<T>();
    const PackedProduct<T> product{a, b, bias, relu, c};
    const index_t m = a.rows;
    const index_t n = b.weight.cols;
    const double cost = nanoseconds<T>(m, n, a.cols);
    if (cost < least_split_ns) return run_packed(kernel, product, 0, m, 0, n);
    // Whole panels of every target, or rows: what each thread computes alone.
    constexpr index_t column_unit = 256 / index_t(sizeof(T));
    constexpr index_t row_unit = 12;
    const index_t by_columns = rounded_up(n, column_unit) / column_unit;
    const index_t by_rows = rounded_up(m, row_unit) / row_unit;
    const bool columns = by_columns >= std::min<index_t>(num_threads(), by_rows);
    const index_t unit = columns ? column_unit : row_unit;
    const index_t count = columns ? by_columns : by_rows;
    const index_t grain = std::max<index_t>(1, (count + 2 * num_threads() - 1) / (2 * num_threads()));
    parallel_for(count, grain, cost, [&](index_t begin, index_t end) {
        const index_t first = begin * unit;
        const index_t size = std::min(end * unit, columns ? n : m) - first;
        if (columns) run_packed(kernel, product, 0, m, first, size);
        else run_packed(kernel, product, first, size, 0, n);
    });
}

namespace {

// The i-th of `count` products of the same shapes starts a_offsets[i], b_offsets[i], c_offsets[i] elements further on.
template <class T>
void multiply_stack(const Product<T>& p, index_t count, const index_t* a_offsets, const index_t* b_offsets,
                    const index_t* c_offsets) {
    const auto with_item = [&](index_t i, auto&& use) {
        Matrix<const T> a = p.a;
        Matrix<const T> b = p.b;
        Rows<T> c = p.c;
        a.data += a_offsets[i];
        b.data += b_offsets[i];
        c.data += c_offsets[i];
        use(Product<T>{a, b, p.bias, p.accumulate, c});
    };
    // Few large products are split themselves; otherwise whole products are dealt out.
    constexpr double large_ns = 200e3;
    if (count == 1 || nanoseconds(p) > large_ns || done_without_work(Product<T>{p.a, p.b, nullptr, true, p.c})) {
        for (index_t i = 0; i < count; ++i) with_item(i, [](const Product<T>& one) { multiply(one); });
        return;
    }
    const KernelTable<T>& kernel = kernels<T>();
    const index_t size = whole_size(plan_of(kernel, p));
    ScratchPieces<T> scratch_memory(size, size);
    const index_t threads = num_threads();
    const index_t grain = std::max<index_t>(1, (count + 4 * threads - 1) / (4 * threads));
    parallel_for(count, grain, double(count) * nanoseconds(p), [&](index_t begin, index_t end) {
        scratch_memory.with_piece(begin == 0 && end == count, [&](T* memory) {
            for (index_t i = begin; i < end; ++i)
                with_item(i, [&](const Product<T>& one) { run(kernel, plan_of(kernel, one), memory); });
        });
    });
}

}  // namespace

template <class T>
void matmul(const Matrix<const T>& a, const Matrix<const T>& b, bool accumulate, const Rows<T>& c) {
    multiply<T>({a, b, nullptr, accumulate, c});
}

template <class T>
void matmul_stack(index_t count, const Matrix<const T>& a, const index_t* a_offsets, const Matrix<const T>& b,
                  const index_t* b_offsets, bool accumulate, const Rows<T>& c, const index_t* c_offsets) {
    multiply_stack<T>({a, b, nullptr, accumulate, c}, count, a_offsets, b_offsets, c_offsets);
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                             \
    template void reserve(const Product<T>&);                                                                  \
    template void multiply(const Product<T>&);                                                                 \
    template void multiply_packed(const Matrix<const T>&, const PackedWeight<T>&, const T*, Rectifier<T>, T*); \
    template void matmul(const Matrix<const T>&, const Matrix<const T>&, bool, const Rows<T>&);                \
    template void matmul_stack(index_t, const Matrix<const T>&, const index_t*, const Matrix<const T>&,        \
                               const index_t*, bool, const Rows<T>&, const index_t*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
