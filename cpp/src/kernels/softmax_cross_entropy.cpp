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
    const std::int64_t* labels;
    index_t rows;
    I label;  // of a row that does not count: negative
    V factor;

    RELU_LAYERS_INLINE ColumnLabels(const std::int64_t* numbers, const T* factors, index_t count)
        : labels(numbers), rows(count) {
        Bits l[width<T>];
        T f[width<T>];
        for (index_t r = 0; r < width<T>; ++r) {
            l[r] = r < rows ? labels == nullptr ? 0 : within(labels[r], 0) : -1;
            f[r] = r < rows ? factors[r] : T(0);
        }
        __builtin_memcpy(&label, l, sizeof(label));
        __builtin_memcpy(&factor, f, sizeof(factor));
    }
    // The labels as classes of the block from `start` on, negative where it has none of them.
    RELU_LAYERS_INLINE I in_block(index_t start) const {
        if (start == 0 || labels == nullptr) return label;
        Bits l[width<T>];
        for (index_t r = 0; r < width<T>; ++r) l[r] = r < rows && labels[r] >= start ? within(labels[r], start) : -1;
        I found;
        __builtin_memcpy(&found, l, sizeof(found));
        return found;
    }

  private:
    using Bits = typename VecOf<T>::Bits;
    // Beyond the block: a number that no class of it has.
    static RELU_LAYERS_INLINE Bits within(std::int64_t number, index_t start) {
        return static_cast<Bits>(number - start < sum_block ? number - start : sum_block);
    }
};

// The gradient at the label is factor * (p - 1). Of the likeliest class it is -others / sum: no digits cancel.
RELU_LAYERS_INLINE V gradient_at_label(V shifted, V e, V others, V inverse, V factor) {
    return (shifted == T(0) ? -(others * inverse) : e * inverse - T(1)) * factor;
}

RELU_LAYERS_INLINE void labels_group(const ClassRows<const T>& x, const std::int64_t* label, const T* factor, T* loss,
                                     const ClassRows<T>& dx) {
    PerRow maxima;
    PerRow shifted{};
    PerRow own{};
    PerRow factors{};
    maxima.set(group_maxima(x));
    for (index_t r = 0; r < x.rows; ++r) {
        if (label[r] >= 0) shifted.of[r] = x.row(r)[label[r]] - maxima.of[r];
        factors.of[r] = factor[r];
    }
    const V others = group_sums_of_others(
        x, [&](index_t start, index_t n, GroupTerms& terms) { written_terms(x, start, n, maxima, dx, terms); });
    for (index_t r = 0; r < x.rows; ++r)
        if (label[r] >= 0) own.of[r] = dx.row(r)[label[r]];
    const V inverse = T(1) / (T(1) + others);
    own.set(gradient_at_label(shifted.vector(), own.vector(), others, inverse, factors.vector()));
    PerRow losses;
    losses.set(log_one_plus<T>(others) - shifted.vector());
    PerRow scales;
    scales.set(inverse * factors.vector());
    for (index_t r = 0; r < x.rows; ++r) {
        const bool counts = label[r] >= 0;
        const V scale = broadcast(scales.of[r]);
        const V zero = broadcast(T(0));
        T* to = dx.row(r);
        for_each_vector<T>(
            x.classes, [&](index_t i, auto lanes) { put(to + i, counts ? get(to + i, lanes) * scale : zero, lanes); });
        if (counts) to[label[r]] = own.of[r];
        loss[r] = counts ? losses.of[r] : T(0);
    }
}

template <class Use>
RELU_LAYERS_INLINE void labels_column(const ClassRows<const T>& x, const ColumnLabels& row, T* loss,
                                      const ClassRows<T>& dx, Use lanes) {
    const V zero = broadcast(T(0));
    const V maximum = column_maximum(x, lanes);
    V shifted = zero;
    V own = zero;
    BlockSums sums(T(-1));
    for_blocks(x.classes, [&](index_t start, index_t n) {
        const I label = row.in_block(start);
        const ColumnTerms terms = column_terms(x, start, n, maximum, lanes, [&](index_t c, V s, V e) {
            put(dx.of_class(c), e, lanes);
            const I here = label == class_index(c - start);
            shifted = here ? s : shifted;
            own = here ? e : own;
        });
        sums.add(terms.others, terms.maxima);
    });
    const V others = sums.value();
    const V inverse = T(1) / (T(1) + others);
    own = gradient_at_label(shifted, own, others, inverse, row.factor);
    const V scale = inverse * row.factor;
    const I ignored = row.label < class_index(0);
    for_blocks(x.classes, [&](index_t start, index_t n) {
        const I label = row.in_block(start);
        for (index_t c = start; c < start + n; ++c) {
            const V gradient = get(dx.of_class(c), lanes) * scale;
            put(dx.of_class(c), ignored ? zero : label == class_index(c - start) ? own : gradient, lanes);
        }
    });
    put(loss, ignored ? zero : log_one_plus<T>(others) - shifted, lanes);
}

RELU_LAYERS_INLINE V target_of(V p, const SoftTargets<T>& targets, V class_weight) {
    return (p * targets.keep + targets.spread) * class_weight;
}

RELU_LAYERS_INLINE V asked(V t, V shifted) {
    const V zero = broadcast(T(0));
    return ((t == zero) & (shifted == broadcast(-T(__builtin_inf())))) ? zero : t * shifted;
}

// A row with targets; `label` is used where no probabilities are given.
struct TargetRow {
    SoftTargets<T> targets;
    const T* probability;
    index_t label;

    template <class Use>
    RELU_LAYERS_INLINE V at(index_t i, Use lanes) const {
        const V one = broadcast(T(1));
        const V p = probability != nullptr ? get(probability + i, lanes)
                                           : (lane_index<T>() == lane_of(label, i) ? one : broadcast(T(0)));
        return target_of(p, targets, targets.class_weight != nullptr ? get(targets.class_weight + i, lanes) : one);
    }
};

struct TargetTerms {
    Terms terms;
    Lanes<T> wanted{T(0)};
    Lanes<T> totals{T(0)};
};

// Of classes [start, start + n); the exponentials are written to e, which may be x.
RELU_LAYERS_NOINLINE TargetTerms written_target_terms(TargetRow row, const T* x, index_t start, index_t n, T maximum,
                                                      T* e) {
    const V shift = broadcast(maximum);
    const V zero = broadcast(T(0));
    TargetTerms all;
    for_each_lane_vector<T>(n, all, [&](TargetTerms& sums, index_t i, index_t k, auto lanes) {
        const V s = get_or(x + start + i, lanes, minus_infinity) - shift;
        const V term = exponential_of_negative<T>(s);
        put(e + start + i, term, lanes);
        sums.terms.add(k, s, term);
        const V t = in_use_or(row.at(start + i, lanes), zero, lanes);
        sums.wanted.v[k] = sums.wanted.v[k] + asked(t, s);
        sums.totals.v[k] = sums.totals.v[k] + t;
    });
    return all;
}

// One row. `label` < 0 with labels: the row does not count.
RELU_LAYERS_INLINE T targets_row(const ClassRows<const T>& x, const TargetRow& row, T factor, T* dx) {
    const index_t classes = x.classes;
    if (row.label < 0) {
        for_each_vector<T>(classes, [&](index_t i, auto lanes) { put(dx + i, broadcast(T(0)), lanes); });
        return T(0);
    }
    const T maximum = group_maxima(x)[0];
    BlockSums other_sums(T(-1));
    BlockSums wanted_sums;
    BlockSums total_sums;
    for_blocks(classes, [&](index_t start, index_t n) {
        const TargetTerms sums = written_target_terms(row, x.data, start, n, maximum, dx);
        other_sums.add(broadcast(sums.terms.sums.sum()), broadcast(sums.terms.maxima.sum()));
        wanted_sums.add(broadcast(sums.wanted.sum()));
        total_sums.add(broadcast(sums.totals.sum()));
    });
    const V others = other_sums.value();
    const V wanted = wanted_sums.value();
    const V totals = total_sums.value();
    const V scale = broadcast(T(1) / (T(1) + others[0]));
    const V weight = broadcast(factor);
    const V total = broadcast(totals[0]);
    for_each_vector<T>(classes, [&, at = row](index_t i, auto lanes) {
        put(dx + i, (get(dx + i, lanes) * scale * total - at.at(i, lanes)) * weight, lanes);
    });
    return log_one_plus_scalar(others[0]) * totals[0] - wanted[0];
}

template <class Use>
RELU_LAYERS_INLINE void targets_column(const ClassRows<const T>& x, const SoftTargets<T>& targets,
                                       const ClassRows<const T>& probability, const ColumnLabels& row, T* loss,
                                       const ClassRows<T>& dx, Use lanes) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    const V weight = row.factor;
    const auto target_at = [&](index_t c, I is_label) {
        const V p = probability.data != nullptr ? get(probability.of_class(c), lanes) : (is_label ? one : zero);
        return target_of(p, targets, targets.class_weight != nullptr ? broadcast(targets.class_weight[c]) : one);
    };
    const V maximum = column_maximum(x, lanes);
    BlockSums other_sums(T(-1));
    BlockSums wanted_sums;
    BlockSums total_sums;
    for_blocks(x.classes, [&](index_t start, index_t n) {
        const I label = row.in_block(start);
        ColumnSums wanted(n);
        ColumnSums totals(n);
        const ColumnTerms terms = column_terms(x, start, n, maximum, lanes, [&](index_t c, V s, V e) {
            put(dx.of_class(c), e, lanes);
            const V t = target_at(c, label == class_index(c - start));
            wanted.of_class(c) = wanted.of_class(c) + asked(t, s);
            totals.of_class(c) = totals.of_class(c) + t;
        });
        other_sums.add(terms.others, terms.maxima);
        wanted_sums.add(wanted.fold());
        total_sums.add(totals.fold());
    });
    const V others = other_sums.value();
    const V total = total_sums.value();
    const V inverse = T(1) / (T(1) + others);
    const I ignored = row.label < class_index(0);
    for_blocks(x.classes, [&](index_t start, index_t n) {
        const I label = row.in_block(start);
        for (index_t c = start; c < start + n; ++c) {
            const V t = target_at(c, label == class_index(c - start));
            const V gradient = (get(dx.of_class(c), lanes) * inverse * total - t) * weight;
            put(dx.of_class(c), ignored ? zero : gradient, lanes);
        }
    });
    put(loss, ignored ? zero : log_one_plus<T>(others) * total - wanted_sums.value(), lanes);
}

RELU_LAYERS_INLINE ClassRows<const T> part_of_probabilities(const SoftTargets<T>& targets, index_t first,
                                                            index_t count) {
    return targets.probability.data == nullptr ? ClassRows<const T>{} : targets.probability.part(first, count);
}
RELU_LAYERS_INLINE const std::int64_t* labels_from(const SoftTargets<T>& targets, index_t row) {
    return targets.label == nullptr ? nullptr : targets.label + row;
}

}  // namespace

void cross_entropy_labels(const ClassRows<const T>& x, const std::int64_t* label, const T* factor, T* loss,
                          const ClassRows<T>& dx) {
    const auto labels_of = [&](index_t row, index_t n) { return ColumnLabels(label + row, factor + row, n); };
    if (x.class_stride != 1)
        return for_side_by_side(x.rows, [&](index_t i, index_t n, auto lanes) {
            labels_column(x.part(i, 1), labels_of(i, n), loss + i, dx.part(i, 1), lanes);
        });
    for (index_t row = 0; row < x.rows;) {
        const NextRows next = next_rows(x.rows - row, x.classes);
        if (next.transposed) {
            TransposedRows block;
            T losses[width<T>];
            block.load(x.part(row, next.count));
            labels_column(block.input(x.classes), labels_of(row, next.count), losses, block.view(x.classes), Full{});
            block.store(dx.part(row, next.count));
            for (index_t r = 0; r < next.count; ++r) loss[row + r] = losses[r];
        } else {
            labels_group(x.part(row, next.count), label + row, factor + row, loss + row, dx.part(row, next.count));
        }
        row += next.count;
    }
}

void cross_entropy_targets(const ClassRows<const T>& x, const SoftTargets<T>& targets, const T* factor, T* loss,
                           const ClassRows<T>& dx) {
    const auto labels_of = [&](index_t row, index_t n) {
        return ColumnLabels(labels_from(targets, row), factor + row, n);
    };
    if (x.class_stride != 1)
        return for_side_by_side(x.rows, [&](index_t i, index_t n, auto lanes) {
            targets_column(x.part(i, 1), targets, part_of_probabilities(targets, i, 1), labels_of(i, n), loss + i,
                           dx.part(i, 1), lanes);
        });
    const bool given = targets.probability.data != nullptr;
    for (index_t row = 0; row < x.rows;) {
        index_t n = transposed_rows(x.rows - row, x.classes);
        if (n > 0) {
            TransposedRows block;
            TransposedRows target;
            T losses[width<T>];
            block.load(x.part(row, n));
            if (given) target.load(targets.probability.part(row, n));
            targets_column(block.input(x.classes), targets, given ? target.input(x.classes) : ClassRows<const T>{},
                           labels_of(row, n), losses, block.view(x.classes), Full{});
            block.store(dx.part(row, n));
            for (index_t r = 0; r < n; ++r) loss[row + r] = losses[r];
        } else {
            n = 1;
            loss[row] = targets_row(x.part(row, 1),
                                    {targets, given ? targets.probability.row(row) : nullptr,
                                     targets.label == nullptr ? 0 : static_cast<index_t>(targets.label[row])},
                                    factor[row], dx.row(row));
        }
        row += n;
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
