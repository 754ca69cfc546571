// Softmax and log-softmax of rows whose classes lie side by side; consecutive rows are a stride apart.
//   softmax       y = exp(x - max) / sum;        dx = y * (dy - sum(y * dy))
//   log-softmax   y = (x - max) - log(sum);      dx = dy - exp(y) * sum(dy)
// A row with NaN or +inf, or of -inf only, becomes NaN; a single -inf has probability 0; other rows are untouched. y may be x,
// dx may be dy.
#include "kernels/softmax_row.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

RL_INLINE void multiply_row(T* y, index_t n, T factor) {
    const V f = broadcast(factor);
    for_each_vector<T>(n, [&](index_t i, auto lanes) { put(y + i, get(y + i, lanes) * f, lanes); });
}

}  // namespace

void softmax_forward(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes) {
    for (index_t row = 0; row < rows; ++row, x += x_stride, y += y_stride) {
        const RowMaximum maximum = row_maximum(x, classes);
        const T others = exponentials_of_others(x, classes, maximum,
                                                [&](index_t i, V e, auto lanes) { put(y + i, e, lanes); });
        multiply_row(y, classes, T(1) / (T(1) + others));
    }
}

void softmax_backward(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx, index_t dx_stride, index_t rows,
                      index_t classes) {
    for (index_t row = 0; row < rows; ++row, y += y_stride, dy += dy_stride, dx += dx_stride) {
        Lanes<T> sums(T(0));
        index_t k = 0;
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            sums.v[k] = fma(get(y + i, lanes), get(dy + i, lanes), sums.v[k]);
            k = (k + 1) % reduction_vectors<T>;
        });
        const V dot = broadcast(sums.sum());
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(dx + i, get(y + i, lanes) * (get(dy + i, lanes) - dot), lanes);
        });
    }
}

void log_softmax_forward(const T* x, index_t x_stride, T* y, index_t y_stride, index_t rows, index_t classes) {
    for (index_t row = 0; row < rows; ++row, x += x_stride, y += y_stride) {
        const RowMaximum maximum = row_maximum(x, classes);
        const T others = exponentials_of_others(x, classes, maximum, [](index_t, V, auto) {});
        const V shift = broadcast(maximum.value);
        const V log_sum = broadcast(log_one_plus_scalar(others));
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(y + i, (get(x + i, lanes) - shift) - log_sum, lanes);
        });
    }
}

void log_softmax_backward(const T* y, index_t y_stride, const T* dy, index_t dy_stride, T* dx, index_t dx_stride,
                          index_t rows, index_t classes) {
    for (index_t row = 0; row < rows; ++row, y += y_stride, dy += dy_stride, dx += dx_stride) {
        Lanes<T> sums(T(0));
        index_t k = 0;
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            sums.v[k] = sums.v[k] + get(dy + i, lanes);
            k = (k + 1) % reduction_vectors<T>;
        });
        const V total = broadcast(sums.sum());
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            put(dx + i, get(dy + i, lanes) - exponential<T>(get(y + i, lanes)) * total, lanes);
        });
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
