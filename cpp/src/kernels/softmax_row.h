// What softmax, log-softmax and the cross entropy share for rows whose classes lie side by side: their maxima, and the
// sums of exponentials without the 1 of one maximum, so that log1p of a sum keeps its relative accuracy where one class
// has nearly all the probability. Rows go in groups that stay in the first-level cache between two passes: what is
// folded over lanes, divided or taken a logarithm of once per row is then done for a vector of rows.
#pragma once

#define RELU_LAYERS_KERNELS "table/classes.def"
#include "kernels/kernel.h"
#include "simd/lanes.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

constexpr T minus_infinity = -T(__builtin_inf());

constexpr auto add = [](auto a, auto b) { return a + b; };
constexpr auto larger = [](auto a, auto b) { return a > b ? a : b; };

// One number for each row of a group.
struct alignas(vector_bytes) PerRow {
    T of[width<T>];

    RELU_LAYERS_INLINE V vector() const { return load(of); }
    RELU_LAYERS_INLINE void set(V v) { store(of, v); }
};

constexpr index_t group_bytes = 12 * 1024;

// The most classes that are summed in one go, each lane in one chain. A chain loses digits with its length, most of all
// where its terms are equal: over 1e7 classes softmax in float32 was wrong by 4e-6, and blocks of 8192 would leave 5e-6
// of a loss with label smoothing. A multiple of reduction_lanes.
constexpr index_t sum_block = 1024;

// Rows that one block holds, and longer ones: known to the compiler, so that short rows do not pay for long ones.
struct OneBlock {
    static constexpr bool one = true;
};
struct Blocks {
    static constexpr bool one = false;
};
template <class Run>
RELU_LAYERS_INLINE void with_length(index_t classes, Run&& run) {
    if (classes <= sum_block) run(OneBlock{});
    else run(Blocks{});
}

// Calls run(start, n) for the blocks of a row.
template <class Run>
RELU_LAYERS_INLINE void for_blocks(OneBlock, index_t classes, Run&& run) {
    run(index_t(0), classes);
}
template <class Run>
RELU_LAYERS_INLINE void for_blocks(Blocks, index_t classes, Run&& run) {
    for (index_t start = 0; start < classes; start += sum_block)
        run(start, classes - start < sum_block ? classes - start : sum_block);
}

// Sums over a vector of rows: what their only block gave, or the blocks of longer rows added up in float64.
template <class Length>
class BlockSums;

template <>
class BlockSums<OneBlock> {
  public:
    RELU_LAYERS_INLINE explicit BlockSums(double = 0.0) {}
    RELU_LAYERS_INLINE void add(V block) { sums_ = block; }
    // The terms of exp(x - maximum), where the sum starts from -1.
    RELU_LAYERS_INLINE void add_terms(V others, V maxima) { sums_ = others + (maxima - T(1)); }
    RELU_LAYERS_INLINE V value() const { return sums_; }

  private:
    V sums_{};
};

template <>
class BlockSums<Blocks> {
  public:
    RELU_LAYERS_INLINE explicit BlockSums(double initial = 0.0) {
        for (double& sum : sums_) sum = initial;
    }
    RELU_LAYERS_INLINE void add(V block) {
        for (index_t r = 0; r < width<T>; ++r) sums_[r] += double(block[r]);
    }
    RELU_LAYERS_INLINE void add_terms(V others, V maxima) {
        for (index_t r = 0; r < width<T>; ++r) sums_[r] += double(others[r]) + double(maxima[r]);
    }
    RELU_LAYERS_INLINE V value() const {
        PerRow rounded;
        for (index_t r = 0; r < width<T>; ++r) rounded.of[r] = static_cast<T>(sums_[r]);
        return rounded.vector();
    }

  private:
    double sums_[width<T>];
};

RELU_LAYERS_INLINE index_t group_rows(index_t rows, index_t classes) {
    const index_t fitting = group_bytes / (classes * static_cast<index_t>(sizeof(T)) + 1);
    const index_t most = fitting < 1 ? 1 : fitting < width<T> ? fitting : width<T>;
    return rows < most ? rows : most;
}

// Folds each of n vectors into its lane of the result. From a few on, all at once.
template <class Combine>
RELU_LAYERS_INLINE V fold_group(V (&rows)[width<T>], index_t n, Combine&& combine) {
    if (n < width<T> / 4) {
        PerRow folded{};
        for (index_t r = 0; r < n; ++r) folded.of[r] = fold_vector<T>(rows[r], combine);
        return folded.vector();
    }
    for (index_t r = n; r < width<T>; ++r) rows[r] = V{};
    return fold_rows<T>(rows, combine);
}

// The maximum of each lane: in any order the same, so in independent chains.
RELU_LAYERS_INLINE V lane_maxima(const T* x, index_t n) {
    constexpr index_t chains = 4;
    constexpr index_t step = chains * width<T>;
    V maxima[chains];
    for (index_t k = 0; k < chains; ++k) maxima[k] = broadcast(minus_infinity);
    index_t i = 0;
    for (; i + step <= n; i += step)
        for (index_t k = 0; k < chains; ++k) maxima[k] = greater_of(load(x + i + k * width<T>), maxima[k]);
    for_each_vector<T>(n - i, [&](index_t j, auto lanes) {
        maxima[0] = greater_of(get_or(x + i + j, lanes, minus_infinity), maxima[0]);
    });
    return larger(larger(maxima[0], maxima[1]), larger(maxima[2], maxima[3]));
}

// -inf where a row holds nothing but NaN; never -0, whose sign would depend on the order.
RELU_LAYERS_INLINE V group_maxima(ClassRows<const T> x) {
    V rows[width<T>];
    for (index_t r = 0; r < x.rows; ++r) rows[r] = lane_maxima(x.row(r), x.classes);
    return fold_group(rows, x.rows, larger) + T(0);
}

// The terms of exp(x - maximum), those of the maximum counted apart: the sum without one maximum is the sum of the
// lanes and `maxima` - 1. A row with NaN or +inf, or of -inf only, gives NaN.
struct Terms {
    Lanes<T> sums{T(0)};
    Lanes<T> maxima{T(0)};

    RELU_LAYERS_INLINE void add(index_t k, V s, V e) {
        const V zero = broadcast(T(0));
        const I is_maximum = s == zero;
        sums.v[k] = sums.v[k] + (is_maximum ? zero : e);
        maxima.v[k] = maxima.v[k] + (is_maximum ? broadcast(T(1)) : zero);
    }
};

// Calls keep(i, k, s, e, lanes) with each vector of differences s = x - maximum and exponentials e.
template <class Keep>
RELU_LAYERS_INLINE Terms row_terms(const T* x, index_t classes, T maximum, Keep&& keep) {
    const V shift = broadcast(maximum);
    Terms terms;
    for_each_lane_vector<T>(classes, [&](index_t i, index_t k, auto lanes) {
        const V s = get_or(x + i, lanes, minus_infinity) - shift;
        const V e = exponential_of_negative<T>(s);
        keep(i, k, s, e, lanes);
        terms.add(k, s, e);
    });
    return terms;
}

// The sums of exp(x - maximum) over the rows of a group, each without the 1 of one maximum; keep(r, i, e, lanes).
template <class Length, class Keep>
RELU_LAYERS_INLINE V group_sums_of_others(Length length, ClassRows<const T> x, const PerRow& maxima, Keep&& keep) {
    BlockSums<Length> others(-1.0);
    for_blocks(length, x.classes, [&](index_t start, index_t n) {
        V sums[width<T>];
        V counts[width<T>];
        for (index_t r = 0; r < x.rows; ++r) {
            const Terms terms =
                row_terms(x.row(r) + start, n, maxima.of[r],
                          [&](index_t i, index_t, V, V e, auto lanes) { keep(r, start + i, e, lanes); });
            sums[r] = terms.sums.vector(add);
            counts[r] = terms.maxima.vector(add);
        }
        others.add_terms(fold_group(sums, x.rows, add), fold_group(counts, x.rows, add));
    });
    return others.value();
}

// The sums over the rows of a group: next_of(r)(i, sum, lanes) is `sum` with the terms of classes i, i + 1, ... of row r.
template <class Length, class NextOf>
RELU_LAYERS_INLINE V group_sums(Length length, index_t rows, index_t classes, NextOf&& next_of) {
    BlockSums<Length> total;
    for_blocks(length, classes, [&](index_t start, index_t n) {
        V parts[width<T>];
        for (index_t r = 0; r < rows; ++r) {
            const auto next = next_of(r);
            Lanes<T> sums(T(0));
            for_each_lane_vector<T>(
                n, [&](index_t i, index_t k, auto lanes) { sums.v[k] = next(start + i, sums.v[k], lanes); });
            parts[r] = sums.vector(add);
        }
        total.add(fold_group(parts, rows, add));
    });
    return total.value();
}

// The lane of element `at` in the vector that starts at element i, or -1.
RELU_LAYERS_INLINE typename VecOf<T>::Bits lane_of(index_t at, index_t i) {
    const index_t lane = at - i;
    return static_cast<typename VecOf<T>::Bits>(lane >= 0 && lane < width<T> ? lane : -1);
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
