#include <algorithm>

#include "ops/class_rows.h"
#include "ops/loss_blocks.h"
#include "relu_layers/dispatch.h"

namespace relu_layers::ops {
namespace {

constexpr double nanoseconds_per_element = 1.0;
// Positions whose losses one double collects. Their factors, losses and labels live on the stack.
constexpr index_t block = 256;

// The rows of one block in chunks that the scratch holds: in place where the classes lie side by side, else gathered.
// run(x, x_stride, dx, dx_stride, first, rows).
template <class T, class Run>
void for_chunks(Rows<const T> logits, index_t inner, T* dlogits, index_t first, index_t count, index_t arrays, Run&& run) {
    const index_t classes = logits.cols / inner;
    for_class_rows(first, first + count, [&](index_t begin, index_t rows) {
        if (inner == 1) {
            run(logits.row(begin), logits.stride, dlogits + begin * classes, classes, begin, rows);
            return;
        }
        T* packed = class_rows<T>(classes, arrays);
        gather_classes(logits, inner, begin, rows, packed);
        run(static_cast<const T*>(packed), classes, packed, classes, begin, rows);
        scatter_classes(packed, Rows<T>{dlogits, logits.rows, logits.cols, logits.cols}, inner, begin, rows);
    });
}

template <class T>
double nothing(T* dlogits, index_t size) {
    std::fill(dlogits, dlogits + size, T(0));
    return 0.0;
}

// A row of targets with label smoothing: by_class * (smoothing / classes), and the label's share on top.
template <class T>
void smoothed_target(std::int64_t label, ClassOptions<T> options, index_t classes, T* target) {
    const T spread = options.label_smoothing / T(classes);
    for (index_t c = 0; c < classes; ++c) target[c] = options.class_weight == nullptr ? spread : options.class_weight[c] * spread;
    if (label < 0) return;
    const T own = options.class_weight == nullptr ? T(1) : options.class_weight[label];
    target[label] += own * (T(1) - options.label_smoothing);
}

}  // namespace

template <class T>
double softmax_cross_entropy(Rows<const T> logits, index_t inner, Labels labels, ClassOptions<T> options,
                             LossWeights<T> weights, T* dlogits) {
    const auto& k = kernels<T>();
    const index_t classes = inner > 0 ? logits.cols / inner : 0;
    const index_t positions = logits.rows * inner;
    const index_t size = logits.rows * logits.cols;
    const auto label_at = [&](index_t i) -> std::int64_t {
        const std::int64_t label = labels[i];
        return weights.has_ignore && label == weights.ignore_label ? -1 : label;
    };
    const bool weighted = weights.sample_weight != nullptr || options.class_weight != nullptr;
    index_t counted = positions;
    double weight_sum = 0.0;
    if (weights.normalization == Normalization::valid && (weighted || weights.has_ignore)) {
        counted = 0;
        for (index_t i = 0; i < positions; ++i) {
            const std::int64_t label = label_at(i);
            if (label < 0) continue;
            ++counted;
            const T by_class = options.class_weight == nullptr ? T(1) : options.class_weight[label];
            weight_sum += double(sample_weight_at(weights, i) * by_class);
        }
    }
    const double n = normalizer(weights, positions, counted, weighted, weight_sum);
    if (n == 0.0 || positions == 0) return nothing(dlogits, size);

    const bool smooth = options.label_smoothing > T(0);
    const index_t arrays = smooth ? 2 : 1;
    if (inner != 1 || smooth) reserve_class_rows<T>(classes, arrays);
    const double sum = sum_blocks(positions, block, nanoseconds_per_element * double(size), [&](index_t start, index_t count) {
        double total = 0.0;
        for_chunks(logits, inner, dlogits, start, count, arrays,
                   [&](const T* x, index_t x_stride, T* dx, index_t dx_stride, index_t first, index_t rows) {
                       std::int64_t label[class_rows_block];
                       T weight[class_rows_block];
                       T factor[class_rows_block];
                       T loss[class_rows_block];
                       for (index_t r = 0; r < rows; ++r) {
                           label[r] = label_at(first + r);
                           weight[r] = label[r] < 0 ? T(0) : sample_weight_at(weights, first + r);
                           if (!smooth && options.class_weight != nullptr && label[r] >= 0)
                               weight[r] *= options.class_weight[label[r]];
                           factor[r] = static_cast<T>(double(weight[r]) / n);
                       }
                       if (!smooth) {
                           k.cross_entropy_labels(x, x_stride, label, factor, loss, dx, dx_stride, rows, classes);
                       } else {
                           T* target = class_rows<T>(classes, arrays) + class_rows_block * classes;
                           for (index_t r = 0; r < rows; ++r) smoothed_target(label[r], options, classes, target + r * classes);
                           k.cross_entropy_targets(x, x_stride, target, classes, factor, loss, dx, dx_stride, rows, classes);
                           for (index_t r = 0; r < rows; ++r)
                               if (label[r] < 0) std::fill(dx + r * dx_stride, dx + r * dx_stride + classes, T(0));
                       }
                       for (index_t r = 0; r < rows; ++r)
                           if (label[r] >= 0) total += double(weight[r]) * double(loss[r]);
                   });
        return total;
    });
    return sum / n;
}

template <class T>
double softmax_cross_entropy(Rows<const T> logits, index_t inner, Rows<const T> probabilities, ClassOptions<T> options,
                             LossWeights<T> weights, T* dlogits) {
    const auto& k = kernels<T>();
    const index_t classes = inner > 0 ? logits.cols / inner : 0;
    const index_t positions = logits.rows * inner;
    const index_t size = logits.rows * logits.cols;
    double weight_sum = 0.0;
    if (weights.sample_weight != nullptr)
        for (index_t i = 0; i < positions; ++i) weight_sum += double(sample_weight_at(weights, i));
    const double n = normalizer(weights, positions, positions, weights.sample_weight != nullptr, weight_sum);
    if (n == 0.0 || positions == 0) return nothing(dlogits, size);

    reserve_class_rows<T>(classes, 2);
    const T spread = options.label_smoothing / T(classes);
    const double sum = sum_blocks(positions, block, nanoseconds_per_element * double(size), [&](index_t start, index_t count) {
        double total = 0.0;
        for_chunks(logits, inner, dlogits, start, count, index_t(2),
                   [&](const T* x, index_t x_stride, T* dx, index_t dx_stride, index_t first, index_t rows) {
                       T factor[class_rows_block];
                       T loss[class_rows_block];
                       T* target = class_rows<T>(classes, 2) + class_rows_block * classes;
                       gather_classes(probabilities, inner, first, rows, target);
                       for (index_t r = 0; r < rows; ++r) {
                           factor[r] = static_cast<T>(double(sample_weight_at(weights, first + r)) / n);
                           T* row = target + r * classes;
                           for (index_t c = 0; c < classes; ++c) {
                               row[c] = row[c] * (T(1) - options.label_smoothing) + spread;
                               if (options.class_weight != nullptr) row[c] *= options.class_weight[c];
                           }
                       }
                       k.cross_entropy_targets(x, x_stride, target, classes, factor, loss, dx, dx_stride, rows, classes);
                       for (index_t r = 0; r < rows; ++r)
                           total += double(sample_weight_at(weights, first + r)) * double(loss[r]);
                   });
        return total;
    });
    return sum / n;
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                            \
    template double softmax_cross_entropy(Rows<const T>, index_t, Labels, ClassOptions<T>, LossWeights<T>, T*); \
    template double softmax_cross_entropy(Rows<const T>, index_t, Rows<const T>, ClassOptions<T>, LossWeights<T>, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
