// Cross entropy of softmax(x) with its gradient, one pass over each row while it is in the cache; never clamped:
//   integer labels   loss = log(sum) - (x[label] - max);            dx = factor * (p - onehot)
//   targets t        loss = -sum(t * log p), 0 * -inf counting 0;   dx = factor * (p * sum(t) - t)
// with log(sum) = log1p(sum without the maximum's own term). `factor` is the row's weight over the normalizer. A label of -1
// marks a row that does not count: loss 0, gradient 0. dx may be x.
#include "kernels/softmax_row.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void cross_entropy_labels(const T* x, index_t x_stride, const std::int64_t* label, const T* factor, T* loss, T* dx,
                          index_t dx_stride, index_t rows, index_t classes) {
    const V zero = broadcast(T(0));
    for (index_t row = 0; row < rows; ++row, x += x_stride, dx += dx_stride) {
        const index_t wanted = static_cast<index_t>(label[row]);
        if (wanted < 0) {
            loss[row] = T(0);
            for_each_vector<T>(classes, [&](index_t i, auto lanes) { put(dx + i, zero, lanes); });
            continue;
        }
        const RowMaximum maximum = row_maximum(x, classes);
        const T shifted = x[wanted] - maximum.value;
        const T others = exponentials_of_others(x, classes, maximum,
                                                [&](index_t i, V e, auto lanes) { put(dx + i, e, lanes); });
        const T total = T(1) + others;
        loss[row] = log_one_plus_scalar(others) - shifted;
        const T f = factor[row];
        const T inverse = T(1) / total;
        // p - 1 of the likeliest class is -others / total: no digits cancel.
        const T own = wanted == maximum.at ? -(others * inverse) : dx[wanted] * inverse - T(1);
        const V scale = broadcast(inverse);
        const V weight = broadcast(f);
        for_each_vector<T>(classes,
                           [&](index_t i, auto lanes) { put(dx + i, get(dx + i, lanes) * scale * weight, lanes); });
        dx[wanted] = own * f;
    }
}

void cross_entropy_targets(const T* x, index_t x_stride, const T* target, index_t target_stride, const T* factor, T* loss,
                           T* dx, index_t dx_stride, index_t rows, index_t classes) {
    const V zero = broadcast(T(0));
    const V impossible = broadcast(-T(__builtin_inf()));
    for (index_t row = 0; row < rows; ++row, x += x_stride, target += target_stride, dx += dx_stride) {
        const RowMaximum maximum = row_maximum(x, classes);
        const T others = exponentials_of_others(x, classes, maximum, [](index_t, V, auto) {});
        const V shift = broadcast(maximum.value);
        const V log_sum = broadcast(log_one_plus_scalar(others));
        Lanes<T> losses(T(0));
        Lanes<T> targets(T(0));
        index_t k = 0;
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            const V t = get(target + i, lanes);
            const V log_p = (get(x + i, lanes) - shift) - log_sum;
            const V nothing = (t == zero) & (log_p == impossible) ? zero : t * log_p;
            losses.v[k] = losses.v[k] - in_use_or(nothing, zero, lanes);
            targets.v[k] = targets.v[k] + t;
            k = (k + 1) % reduction_vectors<T>;
        });
        loss[row] = losses.sum();
        const V total = broadcast(targets.sum());
        const V inverse = broadcast(T(1) / (T(1) + others));
        const V weight = broadcast(factor[row]);
        for_each_vector<T>(classes, [&](index_t i, auto lanes) {
            const V p = exponential<T>(get(x + i, lanes) - shift) * inverse;
            put(dx + i, (p * total - get(target + i, lanes)) * weight, lanes);
        });
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
