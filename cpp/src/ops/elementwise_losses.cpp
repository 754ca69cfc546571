#include <algorithm>
#include <limits>

#include "ops/labels.h"
#include "ops/loss_blocks.h"
#include "dispatch/kernels.h"

namespace relu_layers::ops {
namespace {

// Elements [first, first + n) of a in row-major order: in place where they are one piece, else copied to `room`.
template <class T>
const T* piece(const Rows<const T>& a, index_t first, index_t n, T* room) {
    if (a.contiguous()) return a.data + first;
    index_t row = first / a.cols;
    index_t col = first % a.cols;
    for (index_t i = 0; i < n; ++i) {
        room[i] = a.row(row)[col];
        if (++col == a.cols) {
            col = 0;
            ++row;
        }
    }
    return room;
}

// run(prediction, target, weight or null, gradient, n, factor) for each block; returns the sum over n, the normalizer.
template <class T, class Run>
double blocks(const Rows<const T>& prediction, const Rows<const T>& target, const LossWeights<T>& weights, T* gradient,
              double n, double nanoseconds, Run&& run) {
    const index_t size = prediction.rows * prediction.cols;
    if (n == 0.0 || size == 0) {
        std::fill(gradient, gradient + size, T(0));
        return 0.0;
    }
    const T factor = static_cast<T>(1.0 / n);
    const double sum = sum_of_blocks(size, nanoseconds * double(size), [&](index_t first, index_t count) {
        T room_p[loss_block];
        T room_t[loss_block];
        T room_w[loss_block];
        if (weights.sample_weight != nullptr)
            for (index_t i = 0; i < count; ++i) room_w[i] = sample_weight_at(weights, first + i);
        return double(run(piece(prediction, first, count, room_p), piece(target, first, count, room_t),
                          weights.sample_weight == nullptr ? nullptr : room_w, gradient + first, count, factor));
    });
    return sum / n;
}

// The same for one element of each row, that of its column; the gradient is 0 elsewhere.
template <class T, class Run>
double blocks_of_columns(const Rows<const T>& prediction, Labels columns, const T* target,
                         const LossWeights<T>& weights, T* gradient, double n, Run&& run) {
    const index_t rows = prediction.rows;
    const index_t cols = prediction.cols;
    if (n == 0.0 || rows == 0) {
        std::fill(gradient, gradient + rows * cols, T(0));
        return 0.0;
    }
    const T factor = static_cast<T>(1.0 / n);
    const double nanoseconds = double(rows) * (2.0 + 0.1 * double(cols));
    const double sum = sum_of_blocks(rows, nanoseconds, [&](index_t first, index_t count) {
        std::int64_t column[loss_block];
        T room_p[loss_block];
        T room_w[loss_block];
        T room_d[loss_block];
        copy_labels(columns, first, count, column);
        // All of the block is read before it is written: the gradient may be the prediction.
        for (index_t i = 0; i < count; ++i) room_p[i] = prediction.row(first + i)[column[i]];
        if (weights.sample_weight != nullptr)
            for (index_t i = 0; i < count; ++i) room_w[i] = sample_weight_at(weights, first + i);
        const T part =
            run(room_p, target + first, weights.sample_weight == nullptr ? nullptr : room_w, room_d, count, factor);
        T* const to = gradient + first * cols;
        std::fill(to, to + count * cols, T(0));
        for (index_t i = 0; i < count; ++i) to[i * cols + column[i]] = room_d[i];
        return double(part);
    });
    return sum / n;
}

// What the sum of a loss without ignored positions is divided by.
template <class T>
double normalizer_of_all(const LossWeights<T>& weights, index_t positions) {
    const bool weighted = weights.normalization == Normalization::valid && weights.sample_weight != nullptr;
    const double weight_sum = weighted ? sum_of_sample_weights(weights, positions) : 0.0;
    return normalizer(weights, positions, positions, weights.sample_weight != nullptr, weight_sum);
}

// A kernel of the difference of prediction and target, with its one number.
template <class T, class Kernel>
auto with_number(Kernel kernel, T number) {
    return [=](const T* p, const T* t, const T* w, T* dp, index_t count, T factor) {
        return kernel(p, t, w, dp, count, number, factor);
    };
}

template <class T, class Kernel>
double of_difference(Kernel kernel, T number, const Rows<const T>& prediction, const Rows<const T>& target,
                     const LossWeights<T>& weights, T* dprediction) {
    const double n = normalizer_of_all(weights, prediction.rows * prediction.cols);
    return blocks(prediction, target, weights, dprediction, n, 0.2, with_number(kernel, number));
}

template <class T, class Kernel>
double of_difference(Kernel kernel, T number, const Rows<const T>& prediction, Labels columns, const T* target,
                     const LossWeights<T>& weights, T* dprediction) {
    const double n = normalizer_of_all(weights, prediction.rows);
    return blocks_of_columns(prediction, columns, target, weights, dprediction, n, with_number(kernel, number));
}

}  // namespace

template <class T>
double sigmoid_cross_entropy(const Rows<const T>& logits, const Rows<const T>& targets, const LossWeights<T>& weights,
                             T* dlogits) {
    const index_t size = logits.rows * logits.cols;
    // No number equals NaN, so NaN ignores nothing.
    const T ignore = weights.has_ignore ? static_cast<T>(weights.ignore_value) : std::numeric_limits<T>::quiet_NaN();
    index_t counted = 0;
    double weight_sum = 0.0;
    if (weights.normalization == Normalization::valid) {
        weight_sum = sum_in_blocks(size, [&](index_t first, index_t count) {
            T room[loss_block];
            const T* target = piece(targets, first, count, room);
            double sum = 0.0;
            for (index_t i = 0; i < count; ++i) {
                if (target[i] == ignore) continue;
                ++counted;
                sum += double(sample_weight_at(weights, first + i));
            }
            return sum;
        });
    }
    const double n = normalizer(weights, size, counted, weights.sample_weight != nullptr, weight_sum);
    const auto kernel = kernels<T>().sigmoid_cross_entropy;
    return blocks(logits, targets, weights, dlogits, n, 1.2,
                  [=](const T* x, const T* t, const T* w, T* dx, index_t count, T factor) {
                      return kernel(x, t, w, dx, count, ignore, factor);
                  });
}

template <class T>
double squared_error(const Rows<const T>& prediction, const Rows<const T>& target, T scale,
                     const LossWeights<T>& weights, T* dprediction) {
    return of_difference(kernels<T>().squared_error, scale, prediction, target, weights, dprediction);
}

template <class T>
double squared_error(const Rows<const T>& prediction, Labels columns, const T* target, T scale,
                     const LossWeights<T>& weights, T* dprediction) {
    return of_difference(kernels<T>().squared_error, scale, prediction, columns, target, weights, dprediction);
}

template <class T>
double huber(const Rows<const T>& prediction, const Rows<const T>& target, T delta, const LossWeights<T>& weights,
             T* dprediction) {
    return of_difference(kernels<T>().huber, delta, prediction, target, weights, dprediction);
}

template <class T>
double huber(const Rows<const T>& prediction, Labels columns, const T* target, T delta, const LossWeights<T>& weights,
             T* dprediction) {
    return of_difference(kernels<T>().huber, delta, prediction, columns, target, weights, dprediction);
}

template <class T>
index_t count_agreeing(const Rows<const T>& logits, const Rows<const T>& targets) {
    const auto kernel = kernels<T>().count_agreeing;
    const index_t size = logits.rows * logits.cols;
    return static_cast<index_t>(sum_of_blocks(size, 0.1 * double(size), [&](index_t first, index_t count) {
        T room_x[loss_block];
        T room_t[loss_block];
        return double(kernel(piece(logits, first, count, room_x), piece(targets, first, count, room_t), count));
    }));
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                                \
    template index_t count_agreeing(const Rows<const T>&, const Rows<const T>&);                                  \
    template double sigmoid_cross_entropy(const Rows<const T>&, const Rows<const T>&, const LossWeights<T>&, T*); \
    template double squared_error(const Rows<const T>&, const Rows<const T>&, T, const LossWeights<T>&, T*);      \
    template double squared_error(const Rows<const T>&, Labels, const T*, T, const LossWeights<T>&, T*);          \
    template double huber(const Rows<const T>&, const Rows<const T>&, T, const LossWeights<T>&, T*);              \
    template double huber(const Rows<const T>&, Labels, const T*, T, const LossWeights<T>&, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
