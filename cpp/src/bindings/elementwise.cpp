// Activations and dropout: every element by itself, so inputs of any layout meet in common rows.
#include "bindings/bindings.h"
#include "bindings/fastcall.h"
#include "bindings/layout.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {
namespace {

enum class InPlace { no, yes };

// y = f(x): f(Rows x, y, now) for either type.
template <class Function>
py::object map_to(Call& call, Array& x, const Array& y, double work, Function function) {
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, common_split(call, {&x}));
        const auto ys = y.run<T>();
        call.run(work * double(y.size), [=](Moment& now) { function(xs(now), ys(now), now); });
    });
    return result(y);
}

template <class Function>
py::object map(Call& call, Array& x, py::handle out, InPlace in_place, double work, Function function) {
    Array y;
    call.output(y, "out", out, Shape(x));
    if (in_place == InPlace::yes) call.check_overlap(y, {}, &x);
    else call.check_overlap(y, {&x});
    return map_to(call, x, y, work, function);
}

// dx = f(state, dy), where out may be dy: f(Rows state, Rows dy, dx).
template <class Function>
py::object gradient(Call& call, Array& state, py::handle dy_, py::handle out, Function function) {
    Array dy;
    Array dx;
    call.read_floats(dy, "dy", dy_);
    call.expect_shape(dy, Shape(state));
    call.output(dx, "out", out, Shape(state));
    call.check_overlap(dx, {&state}, &dy);
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const int split = common_split(call, {&state, &dy});
        const auto states = rows<T>(call, state, split);
        const auto dys = rows<T>(call, dy, split);
        const auto dxs = dx.run<T>();
        call.run(double(dx.size), [=](Moment& now) { function(states(now), dys(now), dxs(now)); });
    });
    return result(dx);
}

py::object relu_forward(py::handle x_, py::handle negative_slope_, py::handle out) {
    Call call("relu_forward");
    const double slope = call.number("negative_slope", negative_slope_);
    Array x;
    Array y;
    call.read_floats(x, "x", x_);
    call.output(y, "out", out, Shape(x));
    call.check_overlap(y, {}, &x);
    if (!(slope >= 0) && y.data == x.data && y.size > 0)  // NaN is refused too
        call.value_error(
            "negative_slope is " + repr_of(negative_slope_) +
            " and out is x: in place the sign of y would not tell the sign of x any more, and the gradient "
            "would be wrong; pass another out");
    return map_to(call, x, y, 1,
                  [=](auto xs, auto* ys, const Moment&) { ops::relu_forward(xs, decltype(+*ys)(slope), ys); });
}

py::object relu_backward(py::handle x_, py::handle dy, py::handle negative_slope_, py::handle out) {
    Call call("relu_backward");
    const double slope = call.number("negative_slope", negative_slope_);
    Array x;
    call.read_floats(x, "x", x_);
    return gradient(call, x, dy, out,
                    [=](auto xs, auto dys, auto* dx) { ops::relu_backward(xs, dys, decltype(+*dx)(slope), dx); });
}

py::object threshold_forward(py::handle x_, py::handle threshold_, py::handle value_, py::handle out) {
    Call call("threshold_forward");
    const double threshold = call.number("threshold", threshold_);
    const double value = call.number("value", value_);
    Array x;
    call.read_floats(x, "x", x_);
    return map(call, x, out, InPlace::no, 1, [=](auto xs, auto* y, const Moment&) {
        using T = decltype(+*y);
        ops::threshold_forward(xs, T(threshold), T(value), y);
    });
}

py::object threshold_backward(py::handle x_, py::handle dy, py::handle threshold_, py::handle out) {
    Call call("threshold_backward");
    const double threshold = call.number("threshold", threshold_);
    Array x;
    call.read_floats(x, "x", x_);
    return gradient(call, x, dy, out, [=](auto xs, auto dys, auto* dx) {
        ops::threshold_backward(xs, dys, decltype(+*dx)(threshold), dx);
    });
}

double alpha_of(Call& call, py::handle alpha_) {
    const double alpha = call.number("alpha", alpha_);
    if (!(alpha >= 0))
        call.value_error("alpha is " + repr_of(alpha_) + ", expected >= 0: backward reads the sign of x off y");
    return alpha;
}

py::object elu_forward(py::handle x_, py::handle alpha_, py::handle out) {
    Call call("elu_forward");
    const double alpha = alpha_of(call, alpha_);
    Array x;
    call.read_floats(x, "x", x_);
    return map(call, x, out, InPlace::yes, work_of_exponential,
               [=](auto xs, auto* y, const Moment&) { ops::elu_forward(xs, decltype(+*y)(alpha), y); });
}

py::object elu_backward(py::handle y_, py::handle dy, py::handle alpha_, py::handle out) {
    Call call("elu_backward");
    const double alpha = alpha_of(call, alpha_);
    Array y;
    call.read_floats(y, "y", y_);
    return gradient(call, y, dy, out,
                    [=](auto ys, auto dys, auto* dx) { ops::elu_backward(ys, dys, decltype(+*dx)(alpha), dx); });
}

py::object sigmoid_forward(py::handle x_, py::handle out) {
    Call call("sigmoid_forward");
    Array x;
    call.read_floats(x, "x", x_);
    return map(call, x, out, InPlace::yes, work_of_exponential,
               [](auto xs, auto* y, const Moment&) { ops::sigmoid_forward(xs, y); });
}

py::object sigmoid_backward(py::handle y_, py::handle dy, py::handle out) {
    Call call("sigmoid_backward");
    Array y;
    call.read_floats(y, "y", y_);
    return gradient(call, y, dy, out, [](auto ys, auto dys, auto* dx) { ops::sigmoid_backward(ys, dys, dx); });
}

py::object tanh_forward(py::handle x_, py::handle out) {
    Call call("tanh_forward");
    Array x;
    call.read_floats(x, "x", x_);
    return map(call, x, out, InPlace::yes, work_of_exponential,
               [](auto xs, auto* y, const Moment&) { ops::tanh_forward(xs, y); });
}

py::object tanh_backward(py::handle y_, py::handle dy, py::handle out) {
    Call call("tanh_backward");
    Array y;
    call.read_floats(y, "y", y_);
    return gradient(call, y, dy, out, [](auto ys, auto dys, auto* dx) { ops::tanh_backward(ys, dys, dx); });
}

py::object dropout(const char* op, const char* name, InPlace in_place, py::handle x_, py::handle rate_, py::handle key_,
                   py::handle counter_, py::handle out) {
    Call call(op);
    const double rate = call.number("rate", rate_);
    if (!(rate >= 0 && rate < 1)) call.value_error("rate is " + repr_of(rate_) + ", expected 0 <= rate < 1");
    const std::uint64_t key = call.word("key", key_);
    const std::uint64_t counter = call.word("counter", counter_);
    Array x;
    call.read_floats(x, name, x_);
    return map(call, x, out, in_place, work_of_exponential,
               [=](auto xs, auto* y, const Moment& now) { ops::dropout(xs, rate, key, counter + now.forwards, y); });
}

py::object dropout_forward(py::handle x, py::handle rate, py::handle key, py::handle counter, py::handle out) {
    return dropout("dropout_forward", "x", InPlace::no, x, rate, key, counter, out);
}

py::object dropout_backward(py::handle dy, py::handle rate, py::handle key, py::handle counter, py::handle out) {
    return dropout("dropout_backward", "dy", InPlace::yes, dy, rate, key, counter, out);
}

// x (..., features) with a slope per feature, or one for all.
void read_prelu(Call& call, Array& x, py::handle x_, Array& slope, py::handle slope_) {
    call.read_floats(x, "x", x_);
    call.read_floats(slope, "slope", slope_);
    if (slope.ndim != 1)
        call.value_error("slope has shape " + text_of(slope) + ", expected (features,), or (1,) for one slope for all");
    if (slope.size != 1 && (x.ndim == 0 || x.shape[x.ndim - 1] != slope.size))
        call.value_error("x has shape " + text_of(x) + " but slope has " + std::to_string(slope.size) +
                         " features, expected as many on the last axis of x");
}

int last_axis(const Array& array) { return array.ndim > 0 ? array.ndim - 1 : 0; }

py::object prelu_forward(py::handle x_, py::handle slope_, py::handle out) {
    Call call("prelu_forward");
    Array x;
    Array slope;
    Array y;
    read_prelu(call, x, x_, slope, slope_);
    call.output(y, "out", out, Shape(x));
    call.check_overlap(y, {&x, &slope});
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, last_axis(x));
        const auto slopes = run_of<T>(call, slope);
        const auto ys = y.run<T>();
        const index_t features = slope.size;
        call.run(double(x.size), [=](Moment& now) { ops::prelu_forward(xs(now), slopes(now), features, ys(now)); });
    });
    return result(y);
}

py::object prelu_backward(py::handle x_, py::handle slope_, py::handle dy_, py::handle need_dx_, py::handle out_dx,
                          py::handle out_dslope) {
    Call call("prelu_backward");
    const bool need_dx = call.flag("need_dx", need_dx_);
    Array x;
    Array slope;
    Array dy;
    Array dx;
    Array dslope;
    read_prelu(call, x, x_, slope, slope_);
    call.read_floats(dy, "dy", dy_);
    call.expect_shape(dy, Shape(x));
    if (need_dx) call.output(dx, "out[0]", out_dx, Shape(x));
    else if (!out_dx.is_none()) call.value_error("need_dx is False, expected None as out[0]");
    call.output(dslope, "out[1]", out_dslope, Shape(slope));
    if (need_dx) call.check_overlap(dx, {&x, &slope}, &dy);
    call.check_overlap(dslope, {&x, &slope, &dy, &dx});
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, last_axis(x));
        const auto dys = rows<T>(call, dy, last_axis(dy));
        const auto slopes = run_of<T>(call, slope);
        const auto dxs = dx.run<T>();
        const auto dslopes = dslope.run<T>();
        const index_t features = slope.size;
        call.run(2 * double(x.size), [=](Moment& now) {
            ops::prelu_backward(xs(now), slopes(now), features, dys(now), dxs(now), dslopes(now));
        });
    });
    return py::make_tuple(need_dx ? result(dx) : py::none(), result(dslope));
}

}  // namespace

void bind_elementwise(py::module_& m) {
    define<&relu_forward>(m, "relu_forward(x, negative_slope, out)");
    define<&relu_backward>(m, "relu_backward(x, dy, negative_slope, out)");
    define<&threshold_forward>(m, "threshold_forward(x, threshold, value, out)");
    define<&threshold_backward>(m, "threshold_backward(x, dy, threshold, out)");
    define<&elu_forward>(m, "elu_forward(x, alpha, out)");
    define<&elu_backward>(m, "elu_backward(y, dy, alpha, out)");
    define<&sigmoid_forward>(m, "sigmoid_forward(x, out)");
    define<&sigmoid_backward>(m, "sigmoid_backward(y, dy, out)");
    define<&tanh_forward>(m, "tanh_forward(x, out)");
    define<&tanh_backward>(m, "tanh_backward(y, dy, out)");
    define<&dropout_forward>(m, "dropout_forward(x, rate, key, counter, out)");
    define<&dropout_backward>(m, "dropout_backward(dy, rate, key, counter, out)");
    define<&prelu_forward>(m, "prelu_forward(x, slope, out)");
    define<&prelu_backward>(m, "prelu_backward(x, slope, dy, need_dx, out_dx, out_dslope)");
}

}  // namespace relu_layers::bindings
