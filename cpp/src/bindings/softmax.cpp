// Softmax and its logarithm along an axis.
#include "bindings/bindings.h"
#include "bindings/layout.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {
namespace {

// y = f(x); out may be x.
template <class Function>
py::object forward(Call& call, Argument x_, Argument axis_, Argument out, Function function) {
    Array x(call, x_);
    const int axis = class_axis(call, x, axis_);
    const Array y(call, out, Shape(x));
    call.check_overlap(y, {}, &x);
    const index_t inner = count(x, axis + 1, x.ndim);
    if (x.size > 0)
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const auto xs = rows<T>(call, x, axis);
            const auto ys = y.run<T>();
            call.run(work_of_exponential * double(x.size), [=](Moment& now) { function(xs(now), inner, ys(now)); });
        });
    return result(y);
}

// dx = f(y, dy); out may be dy.
template <class Function>
py::object backward(Call& call, Argument y_, Argument dy_, Argument axis_, Argument out, double work,
                    Function function) {
    Array y(call, y_);
    Array dy(call, dy_);
    call.expect_shape(dy, Shape(y));
    const int axis = class_axis(call, y, axis_);
    const Array dx(call, out, Shape(y));
    call.check_overlap(dx, {&y}, &dy);
    const index_t inner = count(y, axis + 1, y.ndim);
    if (y.size > 0)
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const auto ys = rows<T>(call, y, axis);
            const auto dys = rows<T>(call, dy, axis);
            const auto dxs = dx.run<T>();
            call.run(work * double(y.size), [=](Moment& now) { function(ys(now), dys(now), inner, dxs(now)); });
        });
    return result(dx);
}

py::object softmax_forward(Call& call, Argument x, Argument axis, Argument out) {
    return forward(call, x, axis, out, [](auto xs, index_t inner, auto* y) { ops::softmax_forward(xs, inner, y); });
}

py::object softmax_backward(Call& call, Argument y, Argument dy, Argument axis, Argument out) {
    return backward(call, y, dy, axis, out, 2,
                    [](auto ys, auto dys, index_t inner, auto* dx) { ops::softmax_backward(ys, dys, inner, dx); });
}

py::object log_softmax_forward(Call& call, Argument x, Argument axis, Argument out) {
    return forward(call, x, axis, out, [](auto xs, index_t inner, auto* y) { ops::log_softmax_forward(xs, inner, y); });
}

py::object log_softmax_backward(Call& call, Argument y, Argument dy, Argument axis, Argument out) {
    return backward(call, y, dy, axis, out, work_of_exponential,
                    [](auto ys, auto dys, index_t inner, auto* dx) { ops::log_softmax_backward(ys, dys, inner, dx); });
}

}  // namespace

void bind_softmax(py::handle m) {
    define<&softmax_forward>(m, "softmax_forward(x, axis=-1, *, out=None)");
    define<&softmax_backward>(m, "softmax_backward(y, dy, axis=-1, *, out=None)");
    define<&log_softmax_forward>(m, "log_softmax_forward(x, axis=-1, *, out=None)");
    define<&log_softmax_backward>(m, "log_softmax_backward(y, dy, axis=-1, *, out=None)");
}

}  // namespace relu_layers::bindings
