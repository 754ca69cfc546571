// Softmax along any axis. Classes that lie side by side are read in place; others are gathered a few rows at a time into scratch,
// run through the same kernels and scattered back, so both ways give the same bits.
#include <algorithm>

#include "ops/class_rows.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {
namespace {

constexpr double nanoseconds_per_element = 0.8;

template <class T, class Kernel>
void one_input(Rows<const T> x, index_t inner, T* y, Kernel kernel) {
    const index_t classes = inner > 0 ? x.cols / inner : 0;
    if (classes == 0 || x.rows == 0) return;
    const double cost = nanoseconds_per_element * double(x.rows * x.cols);
    if (inner == 1) {
        parallel_for(x.rows, rows_per_task(classes), cost, [&](index_t begin, index_t end) {
            kernel(x.row(begin), x.stride, y + begin * classes, classes, end - begin, classes);
        });
        return;
    }
    reserve_class_rows<T>(classes, 1);
    parallel_for(x.rows * inner, rows_per_task(classes), cost, [&](index_t begin, index_t end) {
        for_class_rows(begin, end, [&](index_t first, index_t rows) {
            T* packed = class_rows<T>(classes, 1);
            gather_classes(x, inner, first, rows, packed);
            kernel(packed, classes, packed, classes, rows, classes);
            scatter_classes(packed, Rows<T>{y, x.rows, x.cols, x.cols}, inner, first, rows);
        });
    });
}

template <class T, class Kernel>
void two_inputs(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx, Kernel kernel) {
    const index_t classes = inner > 0 ? y.cols / inner : 0;
    if (classes == 0 || y.rows == 0) return;
    const double cost = nanoseconds_per_element * double(y.rows * y.cols);
    if (inner == 1) {
        parallel_for(y.rows, rows_per_task(classes), cost, [&](index_t begin, index_t end) {
            kernel(y.row(begin), y.stride, dy.row(begin), dy.stride, dx + begin * classes, classes, end - begin, classes);
        });
        return;
    }
    reserve_class_rows<T>(classes, 2);
    parallel_for(y.rows * inner, rows_per_task(classes), cost, [&](index_t begin, index_t end) {
        for_class_rows(begin, end, [&](index_t first, index_t rows) {
            T* ys = class_rows<T>(classes, 2);
            T* dys = ys + class_rows_block * classes;
            gather_classes(y, inner, first, rows, ys);
            gather_classes(dy, inner, first, rows, dys);
            kernel(ys, classes, dys, classes, dys, classes, rows, classes);
            scatter_classes(dys, Rows<T>{dx, y.rows, y.cols, y.cols}, inner, first, rows);
        });
    });
}

}  // namespace

template <class T>
void softmax_forward(Rows<const T> x, index_t inner, T* y) {
    one_input(x, inner, y, kernels<T>().softmax_forward);
}
template <class T>
void log_softmax_forward(Rows<const T> x, index_t inner, T* y) {
    one_input(x, inner, y, kernels<T>().log_softmax_forward);
}
template <class T>
void softmax_backward(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx) {
    two_inputs(y, dy, inner, dx, kernels<T>().softmax_backward);
}
template <class T>
void log_softmax_backward(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx) {
    two_inputs(y, dy, inner, dx, kernels<T>().log_softmax_backward);
}

#define RELU_LAYERS_INSTANTIATE(T)                                               \
    template void softmax_forward(Rows<const T>, index_t, T*);                   \
    template void log_softmax_forward(Rows<const T>, index_t, T*);               \
    template void softmax_backward(Rows<const T>, Rows<const T>, index_t, T*);   \
    template void log_softmax_backward(Rows<const T>, Rows<const T>, index_t, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
