// Softmax and log-softmax:
//   softmax       y = exp(x - max) / sum;        dx = y * (dy - sum(y * dy))
//   log-softmax   y = (x - max) - log(sum);      dx = dy - exp(y) * sum(dy)
// with log(sum) = log1p(sum without the maximum's own term). The classes of a row lie side by side and rows are a
// stride apart, or, in the functions named _columns, classes are a stride apart and rows lie side by side; both give
// the same bits. A row with NaN or +inf, or of -inf only, becomes NaN; a single -inf has probability 0; other rows are
// untouched. y may be x, dx may be dy.
#include "kernels/softmax_columns.h"
#include "kernels/softmax_row.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

RL_INLINE void softmax_row(const T* x, T* y, index_t classes) {
    const T others = exponentials_of_others(x, classes, row_maximum(x, classes),
                                            [&](index_t i, index_t, V, V e, auto lanes) { put(y + i, e, lanes); });
    const V inverse = broadcast(T(1) / (T(1) + others));
    for_each_vector<T>(classes, [&](index_t i, auto lanes) { put(y + i, get(y + i, lanes) * inverse, lanes); });
}

template <class Use>
RL_INLINE void softmax_column(const T* x, index_t x_stride, T* y, index_t y_stride, index_t classes, Use lanes) {
    const ColumnMaximum maximum = column_maximum(x, x_stride, classes, lanes);
    const V others = column_exponentials_of_others(x, x_stride, classes, maximum, lanes,
                                                   [&](index_t c, V, V e) { put(y + c * y_stride, e, lanes); });
    const V inverse = T(1) / (T(1) + others);
    for (index_t c = 0; c < classes; ++c) put(y + c * y_stride, get(y + c * y_stride, lanes) * inverse, lanes);
}

RL_INLINE void log_softmax_row(const T* x, T* y, index_t classes) {
    const RowMaximum maximum = row_maximum(x, classes);
    const T others = exponentials_of_others(x, classes, maximum, [](index_t, index_t, V, V, auto) {});
    const V shift = broadcast(maximum.value);
    const V log_sum = broadcast(log_one_plus_scalar(others));
    for_each_vector<T>(classes,
                       [&](index_t i, auto lanes) { put(y + i, (get(x + i, lanes) - shift) - log_sum, lanes); });
}

template <class Use>
RL_INLINE void log_softmax_column(const T* x, index_t x_stride, T* y, index_t y_stride, index_t classes, Use lanes) {
    const ColumnMaximum maximum = column_maximum(x, x_stride, classes, lanes);
    const V log_sum =
        log_one_plus<T>(column_exponentials_of_others(x, x_stride, classes, maximum, lanes, [](index_t, V, V) {}));
    for (index_t c = 0; c < classes; ++c)
        put(y + c * y_stride, (get(x + c * x_stride, lanes) - maximum.value) - log_sum, lanes);
}

// Rows of few classes in upright blocks by column(x, stride, y, stride, classes, lanes), others one by one.
template <class Row, class Column>
RL_INLINE void for_rows(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes, Row&& row,
                        Column&& column) {
    while (const index_t n = upright_rows(rows, classes)) {
        Upright block;
        block.stand(x, x_stride, n, classes);
        column(block.data, width<T>, block.data, width<T>, classes, Full{});
        block.lay(y, y_stride, n, classes);
        rows -= n;
        x += n * x_stride;
        y += n * y_stride;
    }
    for (; rows > 0; --rows, x += x_stride, y += y_stride) row(x, y, classes);
}

}  // namespace

void softmax_forward(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes) {
    for_rows(
        x, x_stride, y, y_stride, rows, classes, [](const T* from, T* to, index_t n) { softmax_row(from, to, n); },
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
    for (index_t row = 0; row < rows; ++row, y += y_stride, dy += dy_stride, dx += dx_stride) {
        Lanes<T> sums(T(0));
        for_each_lane_vector<T>(classes, [&](index_t i, index_t k, auto lanes) {
            sums.v[k] = fma(get(y + i, lanes), get(dy + i, lanes), sums.v[k]);
        });
        const V dot = broadcast(sums.sum());
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(dx + i, get(y + i, lanes) * (get(dy + i, lanes) - dot), lanes);
        });
    }
}

void softmax_backward_columns(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx, index_t dx_stride,
                              index_t columns, index_t classes) {
    for_each_vector<T>(columns, [&](index_t i, auto lanes) {
        ColumnSums sums(classes);
        for (index_t c = 0; c < classes; ++c) {
            V& sum = sums.of_class(c);
            sum = fma(get(y + c * y_stride + i, lanes), get(dy + c * dy_stride + i, lanes), sum);
        }
        const V dot = sums.fold();
        for (index_t c = 0; c < classes; ++c) {
            const V p = get(y + c * y_stride + i, lanes);
            put(dx + c * dx_stride + i, p * (get(dy + c * dy_stride + i, lanes) - dot), lanes);
        }
    });
}

void log_softmax_forward(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes) {
    for_rows(
        x, x_stride, y, y_stride, rows, classes, [](const T* from, T* to, index_t n) { log_softmax_row(from, to, n); },
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
    for (index_t row = 0; row < rows; ++row, y += y_stride, dy += dy_stride, dx += dx_stride) {
        Lanes<T> sums(T(0));
        for_each_lane_vector<T>(classes,
                                [&](index_t i, index_t k, auto lanes) { sums.v[k] = sums.v[k] + get(dy + i, lanes); });
        const V total = broadcast(sums.sum());
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(dx + i, get(dy + i, lanes) - exponential<T>(get(y + i, lanes)) * total, lanes);
        });
    }
}

void log_softmax_backward_columns(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx,
                                  index_t dx_stride, index_t columns, index_t classes) {
    for_each_vector<T>(columns, [&](index_t i, auto lanes) {
        ColumnSums sums(classes);
        for (index_t c = 0; c < classes; ++c) {
            V& sum = sums.of_class(c);
            sum = sum + get(dy + c * dy_stride + i, lanes);
        }
        const V total = sums.fold();
        for (index_t c = 0; c < classes; ++c) {
            const V p = exponential<T>(get(y + c * y_stride + i, lanes));
            put(dx + c * dx_stride + i, get(dy + c * dy_stride + i, lanes) - p * total, lanes);
        }
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
