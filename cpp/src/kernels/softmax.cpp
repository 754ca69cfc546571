// Softmax and log-softmax:
//   softmax       y = exp(x - max) / sum;        dx = y * (dy - sum(y * dy))
//   log-softmax   y = (x - max) - log(sum);      dx = dy - exp(y) * sum(dy)
// with log(sum) = log1p(sum without the maximum's own term). Whether the classes of a row lie side by side or rows do,
// the bits are the same. A row with NaN or +inf, or of -inf only, becomes NaN; a single -inf has probability 0; other
// rows are untouched. y may be x, dx may be dy.
#include "kernels/softmax_columns.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

RELU_LAYERS_INLINE void softmax_group(const ClassRows<const T>& x, const ClassRows<T>& y) {
    PerRow maxima;
    PerRow inverse;
    maxima.set(group_maxima(x));
    const V others = group_sums_of_others(
        x, [&](index_t start, index_t n, GroupTerms& terms) { written_terms(x, start, n, maxima, y, terms); });
    inverse.set(T(1) / (T(1) + others));
    for (index_t r = 0; r < y.rows; ++r) {
        const V scale = broadcast(inverse.of[r]);
        T* to = y.row(r);
        for_each_vector<T>(y.classes, [&](index_t i, auto lanes) { put(to + i, get(to + i, lanes) * scale, lanes); });
    }
}

template <class Use>
RELU_LAYERS_INLINE void softmax_column(const ClassRows<const T>& x, const ClassRows<T>& y, Use lanes) {
    const V maximum = column_maximum(x, lanes);
    const V others = column_sums_of_others(x, maximum, lanes, [&](index_t c, V, V e) { put(y.of_class(c), e, lanes); });
    const V inverse = T(1) / (T(1) + others);
    for (index_t c = 0; c < y.classes; ++c) put(y.of_class(c), get(y.of_class(c), lanes) * inverse, lanes);
}

RELU_LAYERS_INLINE void log_softmax_group(const ClassRows<const T>& x, const ClassRows<T>& y) {
    PerRow maxima;
    PerRow log_sums;
    maxima.set(group_maxima(x));
    log_sums.set(log_one_plus<T>(group_sums_of_others(x, [&](index_t start, index_t n, GroupTerms& terms) {
        for (index_t r = 0; r < x.rows; ++r)
            terms.set(r, row_terms(x.row(r) + start, n, maxima.of[r], [](index_t, V, auto) {}));
    })));
    for (index_t r = 0; r < x.rows; ++r) {
        const V shift = broadcast(maxima.of[r]);
        const V log_sum = broadcast(log_sums.of[r]);
        const T* from = x.row(r);
        T* to = y.row(r);
        for_each_vector<T>(
            x.classes, [&](index_t i, auto lanes) { put(to + i, (get(from + i, lanes) - shift) - log_sum, lanes); });
    }
}

template <class Use>
RELU_LAYERS_INLINE void log_softmax_column(const ClassRows<const T>& x, const ClassRows<T>& y, Use lanes) {
    const V maximum = column_maximum(x, lanes);
    const V log_sum = log_one_plus<T>(column_sums_of_others(x, maximum, lanes, [](index_t, V, V) {}));
    for (index_t c = 0; c < x.classes; ++c) put(y.of_class(c), (get(x.of_class(c), lanes) - maximum) - log_sum, lanes);
}

RELU_LAYERS_INLINE void backward_group(const ClassRows<const T>& y, const ClassRows<const T>& dy,
                                       const ClassRows<T>& dx) {
    PerRow dots;
    dots.set(group_sums(y.rows, y.classes, [&](index_t r) {
        return [ys = y.row(r), dys = dy.row(r)](index_t i, V sum, auto lanes) {
            return fma(get(ys + i, lanes), get(dys + i, lanes), sum);
        };
    }));
    for (index_t r = 0; r < y.rows; ++r) {
        const V dot = broadcast(dots.of[r]);
        const T* ys = y.row(r);
        const T* dys = dy.row(r);
        T* to = dx.row(r);
        for_each_vector<T>(y.classes, [&](index_t i, auto lanes) {
            put(to + i, get(ys + i, lanes) * (get(dys + i, lanes) - dot), lanes);
        });
    }
}

RELU_LAYERS_INLINE void log_backward_group(const ClassRows<const T>& y, const ClassRows<const T>& dy,
                                           const ClassRows<T>& dx) {
    PerRow totals;
    totals.set(group_sums(y.rows, y.classes, [&](index_t r) {
        return [dys = dy.row(r)](index_t i, V sum, auto lanes) { return sum + get(dys + i, lanes); };
    }));
    for (index_t r = 0; r < y.rows; ++r) {
        const V total = broadcast(totals.of[r]);
        const T* ys = y.row(r);
        const T* dys = dy.row(r);
        T* to = dx.row(r);
        for_each_vector<T>(y.classes, [&](index_t i, auto lanes) {
            put(to + i, get(dys + i, lanes) - exponential<T>(get(ys + i, lanes)) * total, lanes);
        });
    }
}

template <class Use>
RELU_LAYERS_INLINE void backward_column(const ClassRows<const T>& y, const ClassRows<const T>& dy,
                                        const ClassRows<T>& dx, Use lanes) {
    const V dot = column_sums_of(
        y.classes, [&](index_t c, V sum) { return fma(get(y.of_class(c), lanes), get(dy.of_class(c), lanes), sum); });
    for (index_t c = 0; c < y.classes; ++c)
        put(dx.of_class(c), get(y.of_class(c), lanes) * (get(dy.of_class(c), lanes) - dot), lanes);
}

template <class Use>
RELU_LAYERS_INLINE void log_backward_column(const ClassRows<const T>& y, const ClassRows<const T>& dy,
                                            const ClassRows<T>& dx, Use lanes) {
    const V total = column_sums_of(y.classes, [&](index_t c, V sum) { return sum + get(dy.of_class(c), lanes); });
    for (index_t c = 0; c < y.classes; ++c)
        put(dx.of_class(c), get(dy.of_class(c), lanes) - exponential<T>(get(y.of_class(c), lanes)) * total, lanes);
}

// Rows that lie side by side, and transposed blocks of rows of few classes, by column(x, y, lanes); other rows
// by group(x, y).
template <class Group, class Column>
RELU_LAYERS_INLINE void for_rows(const ClassRows<const T>& x, const ClassRows<T>& y, Group&& group, Column&& column) {
    if (x.class_stride != 1)
        return for_side_by_side(x.rows,
                                [&](index_t i, index_t, auto lanes) { column(x.part(i, 1), y.part(i, 1), lanes); });
    for (index_t row = 0; row < x.rows;) {
        const NextRows next = next_rows(x.rows - row, x.classes);
        if (next.transposed) {
            TransposedRows block;
            block.load(x.part(row, next.count));
            column(block.input(x.classes), block.view(x.classes), Full{});
            block.store(y.part(row, next.count));
        } else {
            group(x.part(row, next.count), y.part(row, next.count));
        }
        row += next.count;
    }
}

// The same with two inputs. Transposing three blocks pays up to `most_transposed` classes.
template <class Group, class Column>
RELU_LAYERS_INLINE void for_backward_rows(const ClassRows<const T>& y, const ClassRows<const T>& dy,
                                          const ClassRows<T>& dx, index_t most_transposed, Group&& group,
                                          Column&& column) {
    if (y.class_stride != 1)
        return for_side_by_side(
            y.rows, [&](index_t i, index_t, auto lanes) { column(y.part(i, 1), dy.part(i, 1), dx.part(i, 1), lanes); });
    for (index_t row = 0; row < y.rows;) {
        const NextRows next = next_rows(y.rows - row, y.classes, most_transposed);
        if (next.transposed) {
            TransposedRows ys;
            TransposedRows dys;
            ys.load(y.part(row, next.count));
            dys.load(dy.part(row, next.count));
            column(ys.input(y.classes), dys.input(y.classes), dys.view(y.classes), Full{});
            dys.store(dx.part(row, next.count));
        } else {
            group(y.part(row, next.count), dy.part(row, next.count), dx.part(row, next.count));
        }
        row += next.count;
    }
}

}  // namespace

void softmax_forward(const ClassRows<const T>& x, const ClassRows<T>& y) {
    for_rows(x, y, [](auto... rows) { softmax_group(rows...); }, [](auto... rows) { softmax_column(rows...); });
}

void softmax_backward(const ClassRows<const T>& y, const ClassRows<const T>& dy, const ClassRows<T>& dx) {
    for_backward_rows(
        y, dy, dx, 8, [](auto... rows) { backward_group(rows...); }, [](auto... rows) { backward_column(rows...); });
}

void log_softmax_forward(const ClassRows<const T>& x, const ClassRows<T>& y) {
    for_rows(x, y, [](auto... rows) { log_softmax_group(rows...); }, [](auto... rows) { log_softmax_column(rows...); });
}

void log_softmax_backward(const ClassRows<const T>& y, const ClassRows<const T>& dy, const ClassRows<T>& dx) {
    for_backward_rows(
        y, dy, dx, transposed_classes, [](auto... rows) { log_backward_group(rows...); },
        [](auto... rows) { log_backward_column(rows...); });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
