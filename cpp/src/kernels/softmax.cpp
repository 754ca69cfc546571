// Softmax and log-softmax:
//   softmax       y = exp(x - max) / sum;        dx = y * (dy - sum(y * dy))
//   log-softmax   y = (x - max) - log(sum);      dx = dy - exp(y) * sum(dy)
// with log(sum) = log1p(sum without the maximum's own term). The classes of a row lie side by side and rows are a
// stride apart, or, in the functions named _columns, classes are a stride apart and rows lie side by side; both give
// the same bits. A row with NaN or +inf, or of -inf only, becomes NaN; a single -inf has probability 0; other rows are
// untouched. y may be x, dx may be dy.
#include "kernels/softmax_columns.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

RELU_LAYERS_INLINE void softmax_group(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows,
                                      index_t classes) {
    PerRow maxima;
    PerRow inverse;
    maxima.set(group_maxima(x, x_stride, rows, classes));
    const V others =
        group_sums_of_others(x, x_stride, rows, classes, maxima,
                             [&](index_t r, index_t i, V e, auto lanes) { put(y + r * y_stride + i, e, lanes); });
    inverse.set(T(1) / (T(1) + others));
    for (index_t r = 0; r < rows; ++r, y += y_stride) {
        const V scale = broadcast(inverse.of[r]);
        for_each_vector<T>(classes, [&](index_t i, auto lanes) { put(y + i, get(y + i, lanes) * scale, lanes); });
    }
}

template <class Use>
RELU_LAYERS_INLINE void softmax_column(const T* x, index_t x_stride, T* y, index_t y_stride, index_t classes,
                                       Use lanes) {
    const V maximum = column_maximum(x, x_stride, classes, lanes);
    const V others = column_sums_of_others(x, x_stride, classes, maximum, lanes,
                                           [&](index_t c, V, V e) { put(y + c * y_stride, e, lanes); });
    const V inverse = T(1) / (T(1) + others);
    for (index_t c = 0; c < classes; ++c) put(y + c * y_stride, get(y + c * y_stride, lanes) * inverse, lanes);
}

RELU_LAYERS_INLINE void log_softmax_group(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows,
                                          index_t classes) {
    PerRow maxima;
    PerRow log_sums;
    maxima.set(group_maxima(x, x_stride, rows, classes));
    const auto drop = [](index_t, index_t, V, auto) {};
    log_sums.set(log_one_plus<T>(group_sums_of_others(x, x_stride, rows, classes, maxima, drop)));
    for (index_t r = 0; r < rows; ++r, x += x_stride, y += y_stride) {
        const V shift = broadcast(maxima.of[r]);
        const V log_sum = broadcast(log_sums.of[r]);
        for_each_vector<T>(classes,
                           [&](index_t i, auto lanes) { put(y + i, (get(x + i, lanes) - shift) - log_sum, lanes); });
    }
}

template <class Use>
RELU_LAYERS_INLINE void log_softmax_column(const T* x, index_t x_stride, T* y, index_t y_stride, index_t classes,
                                           Use lanes) {
    const V maximum = column_maximum(x, x_stride, classes, lanes);
    const V log_sum =
        log_one_plus<T>(column_sums_of_others(x, x_stride, classes, maximum, lanes, [](index_t, V, V) {}));
    for (index_t c = 0; c < classes; ++c)
        put(y + c * y_stride, (get(x + c * x_stride, lanes) - maximum) - log_sum, lanes);
}

// Rows of few classes in transposed blocks by column(x, stride, y, stride, classes, lanes), others by group(x, stride,
// y, stride, rows, classes).
template <class Group, class Column>
RELU_LAYERS_INLINE void for_rows(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes,
                                 Group&& group, Column&& column) {
    while (rows > 0) {
        index_t n = transposed_rows(rows, classes);
        if (n > 0) {
            TransposedRows block;
            block.load(x, x_stride, n, classes);
            column(block.data, width<T>, block.data, width<T>, classes, Full{});
            block.store(y, y_stride, n, classes);
        } else {
            n = group_rows(rows, classes);
            group(x, x_stride, y, y_stride, n, classes);
        }
        rows -= n;
        x += n * x_stride;
        y += n * y_stride;
    }
}

RELU_LAYERS_INLINE void backward_group(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                       index_t dx_stride, index_t rows, index_t classes) {
    V products[width<T>];
    for (index_t r = 0; r < rows; ++r) {
        Lanes<T> sums(T(0));
        for_each_lane_vector<T>(classes, [&](index_t i, index_t k, auto lanes) {
            sums.v[k] = fma(get(y + r * y_stride + i, lanes), get(dy + r * dy_stride + i, lanes), sums.v[k]);
        });
        products[r] = sums.vector(add);
    }
    PerRow dots;
    dots.set(fold_group(products, rows, add));
    for (index_t r = 0; r < rows; ++r, y += y_stride, dy += dy_stride, dx += dx_stride) {
        const V dot = broadcast(dots.of[r]);
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(dx + i, get(y + i, lanes) * (get(dy + i, lanes) - dot), lanes);
        });
    }
}

RELU_LAYERS_INLINE void log_backward_group(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                           index_t dx_stride, index_t rows, index_t classes) {
    V parts[width<T>];
    for (index_t r = 0; r < rows; ++r) {
        Lanes<T> sums(T(0));
        for_each_lane_vector<T>(classes, [&](index_t i, index_t k, auto lanes) {
            sums.v[k] = sums.v[k] + get(dy + r * dy_stride + i, lanes);
        });
        parts[r] = sums.vector(add);
    }
    PerRow totals;
    totals.set(fold_group(parts, rows, add));
    for (index_t r = 0; r < rows; ++r, y += y_stride, dy += dy_stride, dx += dx_stride) {
        const V total = broadcast(totals.of[r]);
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(dx + i, get(dy + i, lanes) - exponential<T>(get(y + i, lanes)) * total, lanes);
        });
    }
}

template <class Use>
RELU_LAYERS_INLINE void backward_column(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                        index_t dx_stride, index_t classes, Use lanes) {
    ColumnSums sums(classes);
    for (index_t c = 0; c < classes; ++c) {
        V& sum = sums.of_class(c);
        sum = fma(get(y + c * y_stride, lanes), get(dy + c * dy_stride, lanes), sum);
    }
    const V dot = sums.fold();
    for (index_t c = 0; c < classes; ++c)
        put(dx + c * dx_stride, get(y + c * y_stride, lanes) * (get(dy + c * dy_stride, lanes) - dot), lanes);
}

template <class Use>
RELU_LAYERS_INLINE void log_backward_column(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                            index_t dx_stride, index_t classes, Use lanes) {
    ColumnSums sums(classes);
    for (index_t c = 0; c < classes; ++c) {
        V& sum = sums.of_class(c);
        sum = sum + get(dy + c * dy_stride, lanes);
    }
    const V total = sums.fold();
    for (index_t c = 0; c < classes; ++c) {
        const V p = exponential<T>(get(y + c * y_stride, lanes));
        put(dx + c * dx_stride, get(dy + c * dy_stride, lanes) - p * total, lanes);
    }
}

// for_rows with two inputs. Turning three blocks pays up to `most_transposed` classes.
template <class Group, class Column>
RELU_LAYERS_INLINE void for_backward_rows(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                          index_t dx_stride, index_t rows, index_t classes, index_t most_transposed,
                                          Group&& group, Column&& column) {
    while (rows > 0) {
        index_t n = classes <= most_transposed ? transposed_rows(rows, classes) : 0;
        if (n > 0) {
            TransposedRows ys;
            TransposedRows dys;
            ys.load(y, y_stride, n, classes);
            dys.load(dy, dy_stride, n, classes);
            column(ys.data, width<T>, dys.data, width<T>, dys.data, width<T>, classes, Full{});
            dys.store(dx, dx_stride, n, classes);
        } else {
            n = group_rows(rows, classes);
            group(y, y_stride, dy, dy_stride, dx, dx_stride, n, classes);
        }
        rows -= n;
        y += n * y_stride;
        dy += n * dy_stride;
        dx += n * dx_stride;
    }
}

}  // namespace

void softmax_forward(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes) {
    for_rows(
        x, x_stride, y, y_stride, rows, classes, [](auto... arguments) { softmax_group(arguments...); },
        [](const T* from, index_t from_stride, T* to, index_t to_stride, index_t n, auto lanes) {
            softmax_column(from, from_stride, to, to_stride, n, lanes);
        });
}

void softmax_forward_columns(const T* x, index_t x_stride, T* y, index_t y_stride, index_t columns, index_t classes) {
    for_each_vector<T>(
        columns, [&](index_t i, auto lanes) { softmax_column(x + i, x_stride, y + i, y_stride, classes, lanes); });
}

void softmax_backward(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx, index_t dx_stride,
                      index_t rows, index_t classes) {
    for_backward_rows(
        y, y_stride, dy, dy_stride, dx, dx_stride, rows, classes, 8,
        [](auto... arguments) { backward_group(arguments...); },
        [](auto... arguments) { backward_column(arguments...); });
}

void softmax_backward_columns(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx, index_t dx_stride,
                              index_t columns, index_t classes) {
    for_each_vector<T>(columns, [&](index_t i, auto lanes) {
        backward_column(y + i, y_stride, dy + i, dy_stride, dx + i, dx_stride, classes, lanes);
    });
}

void log_softmax_forward(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes) {
    for_rows(
        x, x_stride, y, y_stride, rows, classes, [](auto... arguments) { log_softmax_group(arguments...); },
        [](const T* from, index_t from_stride, T* to, index_t to_stride, index_t n, auto lanes) {
            log_softmax_column(from, from_stride, to, to_stride, n, lanes);
        });
}

void log_softmax_forward_columns(const T* x, index_t x_stride, T* y, index_t y_stride, index_t columns,
                                 index_t classes) {
    for_each_vector<T>(
        columns, [&](index_t i, auto lanes) { log_softmax_column(x + i, x_stride, y + i, y_stride, classes, lanes); });
}

void log_softmax_backward(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx, index_t dx_stride,
                          index_t rows, index_t classes) {
    for_backward_rows(
        y, y_stride, dy, dy_stride, dx, dx_stride, rows, classes, transposed_classes,
        [](auto... arguments) { log_backward_group(arguments...); },
        [](auto... arguments) { log_backward_column(arguments...); });
}

void log_softmax_backward_columns(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                  index_t dx_stride, index_t columns, index_t classes) {
    for_each_vector<T>(columns, [&](index_t i, auto lanes) {
        log_backward_column(y + i, y_stride, dy + i, dy_stride, dx + i, dx_stride, classes, lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
