// Cross entropy of softmax(x) with its gradient, while a row is in the cache; never clamped:
//   labels      loss = log(sum) - (x[label] - max);                     dx = factor * (p - onehot)
//   targets t   loss = log(sum) * sum(t) - sum(t * (x - max));          dx = factor * (p * sum(t) - t)
// with log(sum) = log1p(sum without the maximum's own term). Both are sums of terms >= 0, so nothing cancels where the
// loss is near 0; a target of 0 asks nothing of its class, not even where x is -inf. `factor` is the row's weight over
// the normalizer. A label of -1 marks a row that does not count: loss 0, gradient 0. Layouts as in softmax.cpp. dx may
// be x.
#include "kernels/softmax_columns.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// The labels and factors of a vector of rows. Rows not in use do not count.
struct ColumnLabels {
    I label;
    V factor;

    RELU_LAYERS_INLINE ColumnLabels(const std::int64_t* labels, const T* factors, index_t rows) {
        typename VecOf<T>::Bits l[width<T>];
        T f[width<T>];
        for (index_t r = 0; r < width<T>; ++r) {
            l[r] = r < rows ? labels == nullptr ? 0 : static_cast<typename VecOf<T>::Bits>(labels[r]) : -1;
            f[r] = r < rows ? factors[r] : T(0);
        }
        __builtin_memcpy(&label, l, sizeof(label));
        __builtin_memcpy(&factor, f, sizeof(factor));
    }
};

RELU_LAYERS_INLINE index_t lanes_in_use(Full) { return width<T>; }
RELU_LAYERS_INLINE index_t lanes_in_use(Tail tail) { return tail.n; }

// The gradient at the label is factor * (p - 1). Of the likeliest class it is -others / sum: no digits cancel.
RELU_LAYERS_INLINE V gradient_at_label(V shifted, V e, V others, V inverse, V factor) {
    return (shifted == T(0) ? -(others * inverse) : e * inverse - T(1)) * factor;
}

RELU_LAYERS_INLINE void labels_group(const T* x, index_t x_stride, const std::int64_t* label, const T* factor, T* loss,
                                     T* dx, index_t dx_stride, index_t rows, index_t classes) {
    PerRow maxima;
    PerRow shifted{};
    PerRow own{};
    PerRow factors{};
    maxima.set(group_maxima(x, x_stride, rows, classes));
    for (index_t r = 0; r < rows; ++r) {
        if (label[r] >= 0) shifted.of[r] = x[r * x_stride + label[r]] - maxima.of[r];
        factors.of[r] = factor[r];
    }
    const V others =
        group_sums_of_others(x, x_stride, rows, classes, maxima,
                             [&](index_t r, index_t i, V e, auto lanes) { put(dx + r * dx_stride + i, e, lanes); });
    for (index_t r = 0; r < rows; ++r)
        if (label[r] >= 0) own.of[r] = dx[r * dx_stride + label[r]];
    const V inverse = T(1) / (T(1) + others);
    own.set(gradient_at_label(shifted.vector(), own.vector(), others, inverse, factors.vector()));
    PerRow losses;
    losses.set(log_one_plus<T>(others) - shifted.vector());
    PerRow scales;
    scales.set(inverse * factors.vector());
    for (index_t r = 0; r < rows; ++r, dx += dx_stride) {
        const bool counts = label[r] >= 0;
        const V scale = broadcast(scales.of[r]);
        const V zero = broadcast(T(0));
        for_each_vector<T>(
            classes, [&](index_t i, auto lanes) { put(dx + i, counts ? get(dx + i, lanes) * scale : zero, lanes); });
        if (counts) dx[label[r]] = own.of[r];
        loss[r] = counts ? losses.of[r] : T(0);
    }
}

template <class Use>
RELU_LAYERS_INLINE void labels_column(const T* x, index_t x_stride, const ColumnLabels& row, T* loss, T* dx,
                                      index_t dx_stride, index_t classes, Use lanes) {
    const V zero = broadcast(T(0));
    const I label = row.label;
    const V maximum = column_maximum(x, x_stride, classes, lanes);
    V shifted = zero;
    V own = zero;
    const V others = column_sums_of_others(x, x_stride, classes, maximum, lanes, [&](index_t c, V s, V e) {
        put(dx + c * dx_stride, e, lanes);
        const I here = label == class_index(c);
        shifted = here ? s : shifted;
        own = here ? e : own;
    });
    const V inverse = T(1) / (T(1) + others);
    own = gradient_at_label(shifted, own, others, inverse, row.factor);
    const V scale = inverse * row.factor;
    const I ignored = label < class_index(0);
    for (index_t c = 0; c < classes; ++c) {
        const V gradient = get(dx + c * dx_stride, lanes) * scale;
        put(dx + c * dx_stride, ignored ? zero : label == class_index(c) ? own : gradient, lanes);
    }
    put(loss, ignored ? zero : log_one_plus<T>(others) - shifted, lanes);
}

RELU_LAYERS_INLINE V target_of(V p, const SoftTargets<T>& targets, V class_weight) {
    return (p * targets.keep + targets.spread) * class_weight;
}

RELU_LAYERS_INLINE V asked(V t, V shifted) {
    const V zero = broadcast(T(0));
    return ((t == zero) & (shifted == broadcast(-T(__builtin_inf())))) ? zero : t * shifted;
}

// `label` < 0 with labels: the row does not count.
RELU_LAYERS_INLINE T targets_row(const T* x, const SoftTargets<T>& targets, const T* probability, index_t label,
                                 T factor, T* dx, index_t classes) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    if (label < 0) {
        for_each_vector<T>(classes, [&](index_t i, auto lanes) { put(dx + i, zero, lanes); });
        return T(0);
    }
    const auto target_at = [&](index_t i, auto lanes) {
        const V p =
            probability != nullptr ? get(probability + i, lanes) : (lane_index<T>() == lane_of(label, i) ? one : zero);
        return target_of(p, targets, targets.class_weight != nullptr ? get(targets.class_weight + i, lanes) : one);
    };
    const T maximum = group_maxima(x, 0, 1, classes)[0];
    Lanes<T> wanted(T(0));
    Lanes<T> totals(T(0));
    const Terms terms = row_terms(x, classes, maximum, [&](index_t i, index_t k, V s, V e, auto lanes) {
        put(dx + i, e, lanes);
        const V t = in_use_or(target_at(i, lanes), zero, lanes);
        wanted.v[k] = wanted.v[k] + asked(t, s);
        totals.v[k] = totals.v[k] + t;
    });
    const T others = terms.sums.sum() + (terms.maxima.sum() - T(1));
    const T total = totals.sum();
    const V scale = broadcast(T(1) / (T(1) + others));
    const V weight = broadcast(factor);
    for_each_vector<T>(classes, [&](index_t i, auto lanes) {
        put(dx + i, (get(dx + i, lanes) * scale * total - target_at(i, lanes)) * weight, lanes);
    });
    return log_one_plus_scalar(others) * total - wanted.sum();
}

template <class Use>
RELU_LAYERS_INLINE void targets_column(const T* x, index_t x_stride, const SoftTargets<T>& targets,
                                       const T* probability, index_t stride, const ColumnLabels& row, T* loss, T* dx,
                                       index_t dx_stride, index_t classes, Use lanes) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    const I label = row.label;
    const V weight = row.factor;
    const auto target_at = [&](index_t c) {
        const V p =
            probability != nullptr ? get(probability + c * stride, lanes) : (label == class_index(c) ? one : zero);
        return target_of(p, targets, targets.class_weight != nullptr ? broadcast(targets.class_weight[c]) : one);
    };
    const V maximum = column_maximum(x, x_stride, classes, lanes);
    ColumnSums wanted(classes);
    ColumnSums totals(classes);
    const V others = column_sums_of_others(x, x_stride, classes, maximum, lanes, [&](index_t c, V s, V e) {
        put(dx + c * dx_stride, e, lanes);
        const V t = target_at(c);
        wanted.of_class(c) = wanted.of_class(c) + asked(t, s);
        totals.of_class(c) = totals.of_class(c) + t;
    });
    const V total = totals.fold();
    const V inverse = T(1) / (T(1) + others);
    const I ignored = label < class_index(0);
    for (index_t c = 0; c < classes; ++c) {
        const V gradient = (get(dx + c * dx_stride, lanes) * inverse * total - target_at(c)) * weight;
        put(dx + c * dx_stride, ignored ? zero : gradient, lanes);
    }
    put(loss, ignored ? zero : log_one_plus<T>(others) * total - wanted.fold(), lanes);
}

}  // namespace

void cross_entropy_labels(const T* x, index_t x_stride, const std::int64_t* label, const T* factor, T* loss, T* dx,
                          index_t dx_stride, index_t rows, index_t classes) {
    index_t row = 0;
    while (const index_t n = transposed_rows(rows - row, classes)) {
        TransposedRows block;
        T losses[width<T>];
        block.load(x + row * x_stride, x_stride, n, classes);
        labels_column(block.data, width<T>, ColumnLabels(label + row, factor + row, n), losses, block.data, width<T>,
                      classes, Full{});
        block.store(dx + row * dx_stride, dx_stride, n, classes);
        for (index_t r = 0; r < n; ++r) loss[row + r] = losses[r];
        row += n;
    }
    for_groups(rows - row, classes, [&](index_t first, index_t n) {
        const index_t at = row + first;
        labels_group(x + at * x_stride, x_stride, label + at, factor + at, loss + at, dx + at * dx_stride, dx_stride, n,
                     classes);
    });
}

void cross_entropy_labels_columns(const T* x, index_t x_stride, const std::int64_t* label, const T* factor, T* loss,
                                  T* dx, index_t dx_stride, index_t columns, index_t classes) {
    for_each_vector<T>(columns, [&](index_t i, auto lanes) {
        labels_column(x + i, x_stride, ColumnLabels(label + i, factor + i, lanes_in_use(lanes)), loss + i, dx + i,
                      dx_stride, classes, lanes);
    });
}

void cross_entropy_targets(const T* x, index_t x_stride, SoftTargets<T> targets, const T* factor, T* loss, T* dx,
                           index_t dx_stride, index_t rows, index_t classes) {
    const T* probability = targets.probability;
    index_t row = 0;
    while (const index_t n = transposed_rows(rows - row, classes)) {
        TransposedRows block;
        TransposedRows target;
        T losses[width<T>];
        block.load(x + row * x_stride, x_stride, n, classes);
        if (probability != nullptr) target.load(probability + row * targets.stride, targets.stride, n, classes);
        const std::int64_t* label = targets.label == nullptr ? nullptr : targets.label + row;
        targets_column(block.data, width<T>, targets, probability == nullptr ? nullptr : target.data, width<T>,
                       ColumnLabels(label, factor + row, n), losses, block.data, width<T>, classes, Full{});
        block.store(dx + row * dx_stride, dx_stride, n, classes);
        for (index_t r = 0; r < n; ++r) loss[row + r] = losses[r];
        row += n;
    }
    for (; row < rows; ++row)
        loss[row] = targets_row(x + row * x_stride, targets,
                                probability == nullptr ? nullptr : probability + row * targets.stride,
                                targets.label == nullptr ? 0 : static_cast<index_t>(targets.label[row]), factor[row],
                                dx + row * dx_stride, classes);
}

void cross_entropy_targets_columns(const T* x, index_t x_stride, SoftTargets<T> targets, const T* factor, T* loss,
                                   T* dx, index_t dx_stride, index_t columns, index_t classes) {
    for_each_vector<T>(columns, [&](index_t i, auto lanes) {
        const std::int64_t* label = targets.label == nullptr ? nullptr : targets.label + i;
        targets_column(x + i, x_stride, targets, targets.probability == nullptr ? nullptr : targets.probability + i,
                       targets.stride, ColumnLabels(label, factor + i, lanes_in_use(lanes)), loss + i, dx + i,
                       dx_stride, classes, lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
