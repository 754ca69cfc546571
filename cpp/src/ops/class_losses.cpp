// The softmax cross entropy of a batch: positions in fixed blocks, whose labels, factors and losses live on the stack.
#include <algorithm>

#include "ops/class_rows.h"
#include "ops/labels.h"
#include "ops/loss_blocks.h"
#include "dispatch/kernels.h"

namespace relu_layers::ops {
namespace {

constexpr double nanoseconds_per_element = 0.7;

// Everything of one block that the kernels read or write, one entry per position.
template <class T>
struct Block {
    std::int64_t label[loss_block];
    T weight[loss_block];
    T factor[loss_block];
    T loss[loss_block];

    void set_weights(const LossWeights<T>& weights, index_t first, index_t count, double n) {
        for (index_t i = 0; i < count; ++i) {
            weight[i] *= sample_weight_at(weights, first + i);
            factor[i] = static_cast<T>(double(weight[i]) / n);
        }
    }
    // A position that is ignored counts nowhere, whatever its weight.
    double sum(index_t count) const {
        double total = 0.0;
        for (index_t i = 0; i < count; ++i)
            if (label[i] >= 0) total += double(weight[i]) * double(loss[i]);
        return total;
    }
};

// Labels of a block, -1 for those ignored.
template <class T>
void read_labels(const Labels& labels, const LossWeights<T>& weights, index_t first, index_t count,
                 std::int64_t* label) {
    copy_labels(labels, first, count, label);
    if (!weights.has_ignore) return;
    for (index_t i = 0; i < count; ++i)
        if (label[i] == weights.ignore_label) label[i] = -1;
}

template <class T>
double no_loss(T* dlogits, index_t size) {
    std::fill(dlogits, dlogits + size, T(0));
    return 0.0;
}

// `labels` may be null: then every position has probabilities.
template <class T>
double loss_of(const Rows<const T>& logits, index_t inner, const Labels* labels, const Rows<const T>& probabilities,
               ClassOptions<T> options, const LossWeights<T>& weights, T* dlogits) {
    const index_t classes = inner > 0 ? logits.cols / inner : 0;
    const index_t positions = logits.rows * inner;
    const index_t size = logits.rows * logits.cols;
    const bool weighted_classes = labels != nullptr && options.class_weight != nullptr;
    const bool weighted = weights.sample_weight != nullptr || weighted_classes;
    index_t counted = positions;
    double weight_sum = 0.0;
    if (labels == nullptr) {
        if (weighted) weight_sum = sum_of_sample_weights(weights, positions);
    } else if (weights.normalization == Normalization::valid && (weighted || weights.has_ignore)) {
        counted = 0;
        weight_sum = sum_in_blocks(positions, [&](index_t first, index_t count) {
            std::int64_t label[loss_block];
            read_labels(*labels, weights, first, count, label);
            double sum = 0.0;
            for (index_t i = 0; i < count; ++i) {
                if (label[i] < 0) continue;
                ++counted;
                const T by_class = weighted_classes ? options.class_weight[label[i]] : T(1);
                sum += double(sample_weight_at(weights, first + i) * by_class);
            }
            return sum;
        });
    }
    const double n = normalizer(weights, positions, counted, weighted, weight_sum);
    if (n == 0.0 || positions == 0) return no_loss(dlogits, size);

    const bool soft = labels == nullptr || options.label_smoothing > T(0);
    const SoftTargets<T> targets{{},
                                 nullptr,
                                 options.class_weight,
                                 T(1) - options.label_smoothing,
                                 options.label_smoothing / static_cast<T>(classes)};
    const Rows<T> gradient{dlogits, logits.rows, logits.cols, logits.cols};
    const auto& k = kernels<T>();
    const double cost = nanoseconds_per_element * double(size);
    const double sum = sum_of_blocks(positions, cost, [&](index_t start, index_t count) {
        Block<T> b;
        if (labels != nullptr) read_labels(*labels, weights, start, count, b.label);
        else std::fill(b.label, b.label + count, 0);
        // Soft targets carry the weights of their classes themselves.
        for (index_t i = 0; i < count; ++i)
            b.weight[i] = soft || !weighted_classes || b.label[i] < 0 ? T(1) : options.class_weight[b.label[i]];
        b.set_weights(weights, start, count, n);
        for_row_pieces(start, start + count, inner, [&](index_t first, index_t rows) {
            const index_t i = first - start;
            const ClassRows<const T> x = class_rows(logits, inner, first, rows);
            const ClassRows<T> dx = class_rows(gradient, inner, first, rows);
            if (!soft) return k.cross_entropy_labels(x, b.label + i, b.factor + i, b.loss + i, dx);
            SoftTargets<T> wanted = targets;
            if (labels == nullptr) wanted.probability = class_rows(probabilities, inner, first, rows);
            else wanted.label = b.label + i;
            k.cross_entropy_targets(x, wanted, b.factor + i, b.loss + i, dx);
        });
        return b.sum(count);
    });
    return sum / n;
}

}  // namespace

template <class T>
double softmax_cross_entropy(const Rows<const T>& logits, index_t inner, Labels labels, ClassOptions<T> options,
                             const LossWeights<T>& weights, T* dlogits) {
    return loss_of(logits, inner, &labels, {}, options, weights, dlogits);
}

template <class T>
double softmax_cross_entropy(const Rows<const T>& logits, index_t inner, const Rows<const T>& probabilities,
                             ClassOptions<T> options, const LossWeights<T>& weights, T* dlogits) {
    return loss_of(logits, inner, nullptr, probabilities, options, weights, dlogits);
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                              \
    template double softmax_cross_entropy(const Rows<const T>&, index_t, Labels, ClassOptions<T>,               \
                                          const LossWeights<T>&, T*);                                           \
    template double softmax_cross_entropy(const Rows<const T>&, index_t, const Rows<const T>&, ClassOptions<T>, \
                                          const LossWeights<T>&, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
