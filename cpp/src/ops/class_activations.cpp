// Softmax along any axis: classes lie side by side, or rows do, each layout with its kernel; both
// give the same bits.
#include "ops/class_rows.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {
namespace {

constexpr double nanoseconds_per_element = 0.5;

template <class T, class Kernel>
void one_input(Rows<const T> x, index_t inner, T* y, Kernel rows_kernel, Kernel columns_kernel) {
    const index_t classes = inner > 0 ? x.cols / inner : 0;
    if (classes == 0 || x.rows == 0) return;
    const double cost = nanoseconds_per_element * double(x.rows * x.cols);
    parallel_for(x.rows * inner, rows_per_task(classes, inner), cost, [&](index_t begin, index_t end) {
        for_row_pieces(begin, end, inner, [&](index_t slab, index_t column, index_t count, index_t) {
            T* to = y + slab * x.cols + column;
            if (inner == 1) rows_kernel(x.row(slab), x.stride, to, classes, count, classes);
            else columns_kernel(x.row(slab) + column, inner, to, inner, count, classes);
        });
    });
}

template <class T, class Kernel>
void two_inputs(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx, Kernel rows_kernel, Kernel columns_kernel) {
    const index_t classes = inner > 0 ? y.cols / inner : 0;
    if (classes == 0 || y.rows == 0) return;
    const double cost = nanoseconds_per_element * double(y.rows * y.cols);
    parallel_for(y.rows * inner, rows_per_task(classes, inner), cost, [&](index_t begin, index_t end) {
        for_row_pieces(begin, end, inner, [&](index_t slab, index_t column, index_t count, index_t) {
            T* to = dx + slab * y.cols + column;
            if (inner == 1) rows_kernel(y.row(slab), y.stride, dy.row(slab), dy.stride, to, classes, count, classes);
            else columns_kernel(y.row(slab) + column, inner, dy.row(slab) + column, inner, to, inner, count, classes);
        });
    });
}

}  // namespace

template <class T>
void softmax_forward(Rows<const T> x, index_t inner, T* y) {
    const auto& k = kernels<T>();
    one_input(x, inner, y, k.softmax_forward, k.softmax_forward_columns);
}
template <class T>
void log_softmax_forward(Rows<const T> x, index_t inner, T* y) {
    const auto& k = kernels<T>();
    one_input(x, inner, y, k.log_softmax_forward, k.log_softmax_forward_columns);
}
template <class T>
void softmax_backward(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx) {
    const auto& k = kernels<T>();
    two_inputs(y, dy, inner, dx, k.softmax_backward, k.softmax_backward_columns);
}
template <class T>
void log_softmax_backward(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx) {
    const auto& k = kernels<T>();
    two_inputs(y, dy, inner, dx, k.log_softmax_backward, k.log_softmax_backward_columns);
}

#define RELU_LAYERS_INSTANTIATE(T)                                             \
    template void softmax_forward(Rows<const T>, index_t, T*);                 \
    template void log_softmax_forward(Rows<const T>, index_t, T*);             \
    template void softmax_backward(Rows<const T>, Rows<const T>, index_t, T*); \
    template void log_softmax_backward(Rows<const T>, Rows<const T>, index_t, T*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
