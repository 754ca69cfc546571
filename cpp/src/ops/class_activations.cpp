// Softmax and log-softmax along any axis.
#include "ops/instantiate.h"
#include "ops/class_rows.h"
#include "dispatch/kernels.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {
namespace {

constexpr double nanoseconds_per_element = 0.5;

// kernel(rows of each input..., rows of y), y being contiguous.
template <class T, class Kernel, class... Input>
void for_class_rows(Kernel kernel, index_t inner, T* y, const Rows<const T>& x, Input... others) {
    const index_t classes = inner > 0 ? x.cols / inner : 0;
    if (classes == 0 || x.rows == 0) return;
    const Rows<T> to{y, x.rows, x.cols, x.cols};
    const double cost = nanoseconds_per_element * double(x.rows * x.cols);
    parallel_for(x.rows * inner, rows_per_task(classes, inner), cost, [&](index_t begin, index_t end) {
        for_row_pieces(begin, end, inner, [&](index_t first, index_t count) {
            kernel(class_rows(x, inner, first, count), class_rows(others, inner, first, count)...,
                   class_rows(to, inner, first, count));
        });
    });
}

}  // namespace

template <class T>
void softmax_forward(const Rows<const T>& x, index_t inner, T* y) {
    for_class_rows(kernels<T>().softmax_forward, inner, y, x);
}
template <class T>
void log_softmax_forward(const Rows<const T>& x, index_t inner, T* y) {
    for_class_rows(kernels<T>().log_softmax_forward, inner, y, x);
}
template <class T>
void softmax_backward(const Rows<const T>& y, const Rows<const T>& dy, index_t inner, T* dx) {
    for_class_rows(kernels<T>().softmax_backward, inner, dx, y, dy);
}
template <class T>
void log_softmax_backward(const Rows<const T>& y, const Rows<const T>& dy, index_t inner, T* dx) {
    for_class_rows(kernels<T>().log_softmax_backward, inner, dx, y, dy);
}

RELU_LAYERS_INSTANTIATE(softmax_forward)
RELU_LAYERS_INSTANTIATE(log_softmax_forward)
RELU_LAYERS_INSTANTIATE(softmax_backward)
RELU_LAYERS_INSTANTIATE(log_softmax_backward)

}  // namespace relu_layers::ops
