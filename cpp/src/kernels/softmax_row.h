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

// Calls run(start, n) for the blocks of a row, at least once.
template <class Run>
RELU_LAYERS_INLINE void for_blocks(index_t classes, Run&& run) {
    index_t start = 0;
    do {
        run(start, classes - start < sum_block ? classes - start : sum_block);
        start += sum_block;
    } while (start < classes);
}

// The sums of more than one block for each of a vector of rows.
struct WideSums {
    double of[width<T>];

    RELU_LAYERS_NOINLINE void set(double initial, V a, V b) {
        for (index_t r = 0; r < width<T>; ++r) of[r] = initial + (double(a[r]) + double(b[r]));
    }
    RELU_LAYERS_NOINLINE void add(V a, V b) {
        for (index_t r = 0; r < width<T>; ++r) of[r] += double(a[r]) + double(b[r]);
    }
    RELU_LAYERS_NOINLINE V rounded() const {
        PerRow result;
        for (index_t r = 0; r < width<T>; ++r) result.of[r] = static_cast<T>(of[r]);
        return result.vector();
    }
};

// Sums over a vector of rows, initial + a + b of every block: a + (b + initial) of an only block, those of longer rows
// in float64.
class BlockSums {
  public:
    RELU_LAYERS_INLINE explicit BlockSums(T initial = T(0)) : initial_(initial) {}
    RELU_LAYERS_INLINE void add(V a, V b = V{}) {
        if (blocks_++ == 0) {
            a_ = a;
            b_ = b;
            return;
        }
        if (blocks_ == 2) wide_.set(double(initial_), a_, b_);
        wide_.add(a, b);
    }
    RELU_LAYERS_INLINE V value() const { return blocks_ > 1 ? wide_.rounded() : a_ + (b_ + initial_); }

  private:
    T initial_;
    index_t blocks_ = 0;
    V a_{};
    V b_{};
    WideSums wide_;
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
    RL_UNROLL
    for (index_t k = 0; k < chains; ++k) maxima[k] = broadcast(minus_infinity);
    index_t i = 0;
    for (; i + step <= n; i += step) {
        RL_UNROLL
        for (index_t k = 0; k < chains; ++k) maxima[k] = greater_of(load(x + i + k * width<T>), maxima[k]);
    }
    for_each_vector<T>(n - i, [&](index_t j, auto lanes) {
        maxima[0] = greater_of(get_or(x + i + j, lanes, minus_infinity), maxima[0]);
    });
    return larger(larger(maxima[0], maxima[1]), larger(maxima[2], maxima[3]));
}

// -inf where a row holds nothing but NaN; never -0, whose sign would depend on the order.
RELU_LAYERS_INLINE V group_maxima(const ClassRows<const T>& x) {
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

// The terms of a row; keep(i, e, lanes) gets each vector of exponentials.
template <class Keep>
RELU_LAYERS_INLINE Terms row_terms(const T* x, index_t classes, T maximum, Keep&& keep) {
    const V shift = broadcast(maximum);
    Terms all;
    for_each_lane_vector<T>(classes, all, [&](Terms& terms, index_t i, index_t k, auto lanes) {
        const V s = get_or(x + i, lanes, minus_infinity) - shift;
        const V e = exponential_of_negative<T>(s);
        keep(i, e, lanes);
        terms.add(k, s, e);
    });
    return all;
}

// The terms of each row of a group, folded to one vector.
struct GroupTerms {
    V sums[width<T>];
    V maxima[width<T>];

    RELU_LAYERS_INLINE void set(index_t r, const Terms& terms) {
        sums[r] = terms.sums.vector(add);
        maxima[r] = terms.maxima.vector(add);
    }
};

// Of classes [start, start + n); the exponentials are written to e, which may be x.
RELU_LAYERS_NOINLINE void written_terms(const ClassRows<const T>& x, index_t start, index_t n, const PerRow& maxima,
                                        const ClassRows<T>& e, GroupTerms& terms) {
    for (index_t r = 0; r < x.rows; ++r) {
        T* to = e.row(r) + start;
        terms.set(r, row_terms(x.row(r) + start, n, maxima.of[r],
                               [=](index_t i, V v, auto lanes) { put(to + i, v, lanes); }));
    }
}

// The sums of exp(x - maximum) over the rows of a group, each without the 1 of one maximum; terms_of(start, n, terms)
// sets those of classes [start, start + n).
template <class TermsOf>
RELU_LAYERS_INLINE V group_sums_of_others(const ClassRows<const T>& x, TermsOf&& terms_of) {
    BlockSums others(T(-1));
    for_blocks(x.classes, [&](index_t start, index_t n) {
        GroupTerms terms;
        terms_of(start, n, terms);
        others.add(fold_group(terms.sums, x.rows, add), fold_group(terms.maxima, x.rows, add));
    });
    return others.value();
}

// The sums over the rows of a group: next_of(r)(i, sum, lanes) is `sum` with the terms of classes i, i + 1, ... of row r.
template <class NextOf>
RELU_LAYERS_INLINE V group_sums(index_t rows, index_t classes, NextOf&& next_of) {
    BlockSums total;
    for_blocks(classes, [&](index_t start, index_t n) {
        V parts[width<T>];
        for (index_t r = 0; r < rows; ++r) {
            const auto next = next_of(r);
            Lanes<T> all(T(0));
            for_each_lane_vector<T>(n, all, [&](Lanes<T>& sums, index_t i, index_t k, auto lanes) {
                sums.v[k] = next(start + i, sums.v[k], lanes);
            });
            parts[r] = all.vector(add);
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
