#include <algorithm>
#include <atomic>

#include "ops/instantiate.h"
#include "ops/elementwise.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {
namespace {

template <class Run>
void for_ranges(index_t n, double nanoseconds, Run&& run) {
    parallel_for(n, elementwise_grain, nanoseconds * double(n),
                 [&](index_t begin, index_t end) { run(begin, end - begin); });
}

}  // namespace

template <class T>
void sgd_update(index_t n, T* param, const T* grad, T* velocity, GradientRule<T> rule, T learning_rate, T momentum,
                bool nesterov) {
    const auto kernel = kernels<T>().sgd_update;
    for_ranges(n, 0.25, [=](index_t i, index_t count) {
        kernel(param + i, grad + i, velocity + i, count, rule, learning_rate, momentum, nesterov ? T(1) : T(0));
    });
}

template <class T>
void adagrad_update(index_t n, T* param, const T* grad, T* square_sum, GradientRule<T> rule, T learning_rate,
                    T epsilon) {
    const auto kernel = kernels<T>().adagrad_update;
    for_ranges(n, 0.5, [=](index_t i, index_t count) {
        kernel(param + i, grad + i, square_sum + i, count, rule, learning_rate, epsilon);
    });
}

template <class T>
void rmsprop_update(index_t n, T* param, const T* grad, T* square_mean, GradientRule<T> rule, T learning_rate,
                    double rho, T epsilon) {
    const auto kernel = kernels<T>().rmsprop_update;
    for_ranges(n, 0.5, [=](index_t i, index_t count) {
        kernel(param + i, grad + i, square_mean + i, count, rule, learning_rate, T(rho), T(1 - rho), epsilon);
    });
}

template <class T>
void adadelta_update(index_t n, T* param, const T* grad, T* square_mean, T* update_mean, GradientRule<T> rule,
                     T learning_rate, double rho, T epsilon) {
    const auto kernel = kernels<T>().adadelta_update;
    for_ranges(n, 0.7, [=](index_t i, index_t count) {
        kernel(param + i, grad + i, square_mean + i, update_mean + i, count, rule, learning_rate, T(rho), T(1 - rho),
               epsilon);
    });
}

template <class T>
void adam_update(index_t n, T* param, const T* grad, T* mean, T* square_mean, GradientRule<T> rule, AdamRule<T> adam) {
    const auto kernel = kernels<T>().adam_update;
    for_ranges(n, 0.5, [=](index_t i, index_t count) {
        kernel(param + i, grad + i, mean + i, square_mean + i, count, rule, adam);
    });
}

template <class T>
void accumulate(index_t n, T* total, const T* grad) {
    const auto kernel = kernels<T>().accumulate;
    for_ranges(n, 0.15, [=](index_t i, index_t count) { kernel(total + i, grad + i, count); });
}

template <class T>
double sum_of_squares(const Rows<const T>& x) {
    // Fixed pieces, added in order: the sum does not depend on the threads.
    const index_t total = x.rows * x.cols;
    if (total == 0) return 0.0;
    const auto kernel = kernels<T>().sum_of_squares;
    const index_t pieces = (x.cols + elementwise_grain - 1) / elementwise_grain;
    const index_t count = x.rows * pieces;
    auto* partial = static_cast<double*>(scratch(Scratch::partial, sizeof(double) * static_cast<std::size_t>(count)));
    parallel_for(count, 1, 0.2 * double(total), [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) {
            const index_t first = i % pieces * elementwise_grain;
            const index_t n = x.cols - first < elementwise_grain ? x.cols - first : elementwise_grain;
            partial[i] = kernel(x.row(i / pieces) + first, n);
        }
    });
    double sum = 0.0;
    for (index_t i = 0; i < count; ++i) sum += partial[i];
    return sum;
}

template <class T>
double l2_penalty(index_t n, const T* param, T* grad, double strength, double divisor) {
    if (n == 0 || divisor == 0.0) return 0.0;
    const double factor = strength / divisor;
    const auto kernel = kernels<T>().l2_penalty;
    // Fixed pieces, added in order: the sum does not depend on the threads.
    const index_t count = (n + elementwise_grain - 1) / elementwise_grain;
    auto* partial = static_cast<double*>(scratch(Scratch::partial, sizeof(double) * static_cast<std::size_t>(count)));
    parallel_for(count, 1, 0.3 * double(n), [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) {
            const index_t first = i * elementwise_grain;
            partial[i] = kernel(param + first, grad + first, std::min(elementwise_grain, n - first), T(factor));
        }
    });
    double sum = 0.0;
    for (index_t i = 0; i < count; ++i) sum += partial[i];
    return 0.5 * factor * sum;
}

namespace {

// Marks the units that rows from `first` on make active, looking at those alone that are not yet; returns how many.
template <class T>
index_t mark_columns(const Rows<const T>& x, index_t first, std::uint8_t* active) {
    index_t found = 0;
    for (index_t j = 0; j < x.cols; ++j) {
        if (active[j] != 0) continue;
        index_t row = first;
        while (row < x.rows && !(x.row(row)[j] > T(0))) ++row;
        if (row == x.rows) continue;
        active[j] = 1;
        ++found;
    }
    return found;
}

}  // namespace

template <class T>
index_t mark_active(const Rows<const T>& x, std::uint8_t* active) {
    const auto kernel = kernels<T>().mark_active;
    const auto count_inactive = [=] { return static_cast<index_t>(std::count(active, active + x.cols, 0)); };
    // Training asks after every step. Soon most units have been active, and those few that never are have a column each.
    constexpr index_t rows_between_counts = 16;
    constexpr index_t few = 4;  // of so many units one is left
    index_t inactive = count_inactive();
    for (index_t row = 0; row < x.rows && inactive > 0;) {
        if (inactive * few <= x.cols) return inactive - mark_columns(x, row, active);
        const index_t end = std::min(row + rows_between_counts, x.rows);
        for (; row < end; ++row) kernel(x.row(row), active, x.cols);
        inactive = count_inactive();
    }
    return inactive;
}

template <class T>
bool all_finite(index_t n, const T* x) {
    const auto kernel = kernels<T>().all_finite;
    std::atomic<bool> finite{true};
    parallel_for(n, elementwise_grain, 0.01 * double(sizeof(T)) * double(n), [&](index_t begin, index_t end) {
        if (finite.load(std::memory_order_relaxed) && !kernel(x + begin, end - begin))
            finite.store(false, std::memory_order_relaxed);
    });
    return finite.load(std::memory_order_relaxed);
}

RELU_LAYERS_INSTANTIATE(sgd_update)
RELU_LAYERS_INSTANTIATE(adagrad_update)
RELU_LAYERS_INSTANTIATE(rmsprop_update)
RELU_LAYERS_INSTANTIATE(adadelta_update)
RELU_LAYERS_INSTANTIATE(adam_update)
RELU_LAYERS_INSTANTIATE(accumulate)
RELU_LAYERS_INSTANTIATE(l2_penalty)
RELU_LAYERS_INSTANTIATE(sum_of_squares)
RELU_LAYERS_INSTANTIATE(mark_active)
RELU_LAYERS_INSTANTIATE(all_finite)

}  // namespace relu_layers::ops
