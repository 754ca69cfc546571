// Softmax and its logarithm along an axis.
#include "bindings/bindings.h"
#include "bindings/operands.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {
namespace {

// y = op(x); out may be x.
template <auto op>
py::object forward(Call& call, Argument x_, Argument axis_, Argument out) {
    Array x(call, x_);
    const int axis = class_axis(call, x, axis_);
    const Array y(call, out, Shape(x));
    call.check_overlap(y, {}, &x);
    if (x.size > 0)
        compute(call, work_of_exponential * double(x.size), op, AsRows{x, axis}, Same{count(x, axis + 1, x.ndim)},
                Written{y});
    return result(y);
}

// dx = op(y, dy); out may be dy.
template <auto op, int work>
py::object backward(Call& call, Argument y_, Argument dy_, Argument axis_, Argument out) {
    Array y(call, y_);
    Array dy(call, dy_);
    call.expect_shape(dy, Shape(y));
    const int axis = class_axis(call, y, axis_);
    const Array dx(call, out, Shape(y));
    call.check_overlap(dx, {&y}, &dy);
    if (y.size > 0)
        compute(call, work * double(y.size), op, AsRows{y, axis}, AsRows{dy, axis}, Same{count(y, axis + 1, y.ndim)},
                Written{dx});
    return result(dx);
}

}  // namespace

void bind_softmax(py::handle m) {
    define<&forward<RELU_LAYERS_OP(softmax_forward)>>(m, "softmax_forward(x, axis=-1, *, out=None)");
    define<&backward<RELU_LAYERS_OP(softmax_backward), 2>>(m, "softmax_backward(y, dy, axis=-1, *, out=None)");
    define<&forward<RELU_LAYERS_OP(log_softmax_forward)>>(m, "log_softmax_forward(x, axis=-1, *, out=None)");
    define<&backward<RELU_LAYERS_OP(log_softmax_backward), work_of_exponential>>(
        m, "log_softmax_backward(y, dy, axis=-1, *, out=None)");
}

}  // namespace relu_layers::bindings
