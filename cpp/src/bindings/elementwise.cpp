// Activations and dropout: every element by itself, so inputs of any layout meet in common rows.
#include "bindings/bindings.h"
#include "bindings/layout.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {
namespace {

// Whether `out` may be the input.
enum class InPlace { no, yes };

// y = f(x), computed by f(Rows x, y, now).
template <class Function>
py::object compute(Call& call, Array& x, const Array& y, double work, Function function) {
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, common_split(call, {&x}));
        const auto ys = y.run<T>();
        call.run(work * double(y.size), [=](Moment& now) {
            if constexpr (std::is_invocable_v<Function, decltype(xs(now)), T*, Moment&>)
                function(xs(now), ys(now), now);
            else function(xs(now), ys(now));
        });
    });
    return result(y);
}

template <class Function>
py::object map(Call& call, Argument x_, Argument out, InPlace in_place, double work, Function function) {
    Array x(call, x_);
    const Array y(call, out, Shape(x));
    if (in_place == InPlace::yes) call.check_overlap(y, {}, &x);
    else call.check_overlap(y, {&x});
    return compute(call, x, y, work, function);
}

// dx = f(state, dy), where out may be dy, computed by f(Rows state, Rows dy, dx).
template <class Function>
py::object gradient(Call& call, Argument state_, Argument dy_, Argument out, Function function) {
    Array state(call, state_);
    Array dy(call, dy_);
    call.expect_shape(dy, Shape(state));
    const Array dx(call, out, Shape(state));
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

py::object relu_forward(Call& call, Argument x_, Argument negative_slope, Argument out) {
    const double slope = call.number(negative_slope);
    Array x(call, x_);
    const Array y(call, out, Shape(x));
    call.check_overlap(y, {}, &x);
    if (!(slope >= 0) && y.data == x.data && y.size > 0)  // NaN is refused too
        call.value_error(
            "negative_slope is " + repr_of(negative_slope.value) +
            " and out is x: in place the sign of y would not tell the sign of x any more, and the gradient "
            "would be wrong; pass another out");
    return compute(call, x, y, 1, [=](auto xs, auto* ys) { ops::relu_forward(xs, decltype(+*ys)(slope), ys); });
}

py::object relu_backward(Call& call, Argument x, Argument dy, Argument negative_slope, Argument out) {
    return gradient(call, x, dy, out, [slope = call.number(negative_slope)](auto xs, auto dys, auto* dx) {
        ops::relu_backward(xs, dys, decltype(+*dx)(slope), dx);
    });
}

py::object threshold_forward(Call& call, Argument x, Argument threshold_, Argument value_, Argument out) {
    const double threshold = call.number(threshold_);
    const double value = call.number(value_);
    return map(call, x, out, InPlace::no, 1, [=](auto xs, auto* y) {
        using T = decltype(+*y);
        ops::threshold_forward(xs, T(threshold), T(value), y);
    });
}

py::object threshold_backward(Call& call, Argument x, Argument dy, Argument threshold, Argument out) {
    return gradient(call, x, dy, out, [value = call.number(threshold)](auto xs, auto dys, auto* dx) {
        ops::threshold_backward(xs, dys, decltype(+*dx)(value), dx);
    });
}

double alpha_of(Call& call, Argument given) {
    const double alpha = call.number(given);
    if (!(alpha >= 0))
        call.value_error("alpha is " + repr_of(given.value) + ", expected >= 0: backward reads the sign of x off y");
    return alpha;
}

py::object elu_forward(Call& call, Argument x, Argument alpha_, Argument out) {
    return map(call, x, out, InPlace::yes, work_of_exponential,
               [alpha = alpha_of(call, alpha_)](auto xs, auto* y) { ops::elu_forward(xs, decltype(+*y)(alpha), y); });
}

py::object elu_backward(Call& call, Argument y, Argument dy, Argument alpha_, Argument out) {
    return gradient(call, y, dy, out, [alpha = alpha_of(call, alpha_)](auto ys, auto dys, auto* dx) {
        ops::elu_backward(ys, dys, decltype(+*dx)(alpha), dx);
    });
}

py::object sigmoid_forward(Call& call, Argument x, Argument out) {
    return map(call, x, out, InPlace::yes, work_of_exponential, [](auto xs, auto* y) { ops::sigmoid_forward(xs, y); });
}

py::object sigmoid_backward(Call& call, Argument y, Argument dy, Argument out) {
    return gradient(call, y, dy, out, [](auto ys, auto dys, auto* dx) { ops::sigmoid_backward(ys, dys, dx); });
}

py::object silu_forward(Call& call, Argument x, Argument out) {
    return map(call, x, out, InPlace::no, work_of_exponential, [](auto xs, auto* y) { ops::silu_forward(xs, y); });
}

py::object silu_backward(Call& call, Argument x, Argument dy, Argument out) {
    return gradient(call, x, dy, out, [](auto xs, auto dys, auto* dx) { ops::silu_backward(xs, dys, dx); });
}

bool is_tanh_form(Call& call, Argument approximate) { return call.choice(approximate, {"none", "tanh"}) == 1; }

py::object gelu_forward(Call& call, Argument x, Argument approximate, Argument out) {
    return map(call, x, out, InPlace::no, work_of_exponential,
               [is_tanh = is_tanh_form(call, approximate)](auto xs, auto* y) {
                   if (is_tanh) ops::gelu_tanh_forward(xs, y);
                   else ops::gelu_forward(xs, y);
               });
}

py::object gelu_backward(Call& call, Argument x, Argument dy, Argument approximate, Argument out) {
    return gradient(call, x, dy, out, [is_tanh = is_tanh_form(call, approximate)](auto xs, auto dys, auto* dx) {
        if (is_tanh) ops::gelu_tanh_backward(xs, dys, dx);
        else ops::gelu_backward(xs, dys, dx);
    });
}

struct Limits {
    double minimum, maximum;

    Limits(Call& call, Argument low, Argument high) : minimum(call.number(low)), maximum(call.number(high)) {
        if (!(minimum < maximum))
            call.value_error("minimum is " + repr_of(low.value) + " and maximum " + repr_of(high.value) +
                             ", expected minimum < maximum");
    }
};

py::object clip_forward(Call& call, Argument x, Argument minimum, Argument maximum, Argument out) {
    return map(call, x, out, InPlace::yes, 1, [limits = Limits(call, minimum, maximum)](auto xs, auto* y) {
        using T = decltype(+*y);
        ops::clip_forward(xs, T(limits.minimum), T(limits.maximum), y);
    });
}

py::object clip_backward(Call& call, Argument y, Argument dy, Argument minimum, Argument maximum, Argument out) {
    return gradient(call, y, dy, out, [limits = Limits(call, minimum, maximum)](auto ys, auto dys, auto* dx) {
        using T = decltype(+*dx);
        ops::clip_backward(ys, dys, T(limits.minimum), T(limits.maximum), dx);
    });
}

py::object selu_forward(Call& call, Argument x, Argument out) {
    return map(call, x, out, InPlace::yes, work_of_exponential, [](auto xs, auto* y) { ops::selu_forward(xs, y); });
}

py::object selu_backward(Call& call, Argument y, Argument dy, Argument out) {
    return gradient(call, y, dy, out, [](auto ys, auto dys, auto* dx) { ops::selu_backward(ys, dys, dx); });
}

py::object softplus_forward(Call& call, Argument x, Argument out) {
    return map(call, x, out, InPlace::yes, work_of_exponential, [](auto xs, auto* y) { ops::softplus_forward(xs, y); });
}

py::object softplus_backward(Call& call, Argument y, Argument dy, Argument out) {
    return gradient(call, y, dy, out, [](auto ys, auto dys, auto* dx) { ops::softplus_backward(ys, dys, dx); });
}

py::object tanh_forward(Call& call, Argument x, Argument out) {
    return map(call, x, out, InPlace::yes, work_of_exponential, [](auto xs, auto* y) { ops::tanh_forward(xs, y); });
}

py::object tanh_backward(Call& call, Argument y, Argument dy, Argument out) {
    return gradient(call, y, dy, out, [](auto ys, auto dys, auto* dx) { ops::tanh_backward(ys, dys, dx); });
}

// Both directions of dropout are the same map.
template <InPlace in_place>
py::object dropout(Call& call, Argument x, Argument rate_, Argument key_, Argument counter_, Argument out) {
    const double rate = call.number(rate_);
    if (!(rate >= 0 && rate < 1)) call.value_error("rate is " + repr_of(rate_.value) + ", expected 0 <= rate < 1");
    const std::uint64_t key = call.word(key_);
    const std::uint64_t counter = call.word(counter_);
    return map(call, x, out, in_place, work_of_exponential,
               [=](auto xs, auto* y, const Moment& now) { ops::dropout(xs, rate, key, counter + now.forwards, y); });
}

// (..., features), and a slope per feature or one for all.
void expect_slopes(const Call& call, const Array& x, const Array& slope) {
    if (slope.ndim != 1)
        call.value_error("slope has shape " + text_of(slope) + ", expected (features,), or (1,) for one slope for all");
    if (slope.size != 1 && (x.ndim == 0 || x.shape[x.ndim - 1] != slope.size))
        call.value_error("x has shape " + text_of(x) + " but slope has " + std::to_string(slope.size) +
                         " features, expected as many on the last axis of x");
}

int last_axis(const Array& array) { return array.ndim > 0 ? array.ndim - 1 : 0; }

py::object prelu_forward(Call& call, Argument x_, Argument slope_, Argument out) {
    Array x(call, x_);
    Array slope(call, slope_);
    expect_slopes(call, x, slope);
    const Array y(call, out, Shape(x));
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

py::object prelu_backward(Call& call, Argument x_, Argument slope_, Argument dy_, Argument need_dx_, Argument out_) {
    const bool need_dx = call.flag(need_dx_);
    const auto out = call.entries<2>(out_);
    Array x(call, x_);
    Array slope(call, slope_);
    expect_slopes(call, x, slope);
    Array dy(call, dy_);
    call.expect_shape(dy, Shape(x));
    Array dx;
    call.optional_output(dx, out[0], Shape(x), need_dx_.name, need_dx);
    const Array dslope(call, out[1], Shape(slope));
    if (need_dx) call.check_overlap(dx, {&x, &slope}, &dy);
    call.check_overlap(dslope, {&x, &slope, &dy, &dx});
    Results results(2);
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
    return results.add(result(dx)).add(result(dslope)).take();
}

}  // namespace

void bind_elementwise(py::module_& m) {
    define<&relu_forward>(m, "relu_forward(x, negative_slope=0.0, *, out=None)");
    define<&relu_backward>(m, "relu_backward(x, dy, negative_slope=0.0, *, out=None)");
    define<&threshold_forward>(m, "threshold_forward(x, threshold, value, *, out=None)");
    define<&threshold_backward>(m, "threshold_backward(x, dy, threshold, *, out=None)");
    define<&elu_forward>(m, "elu_forward(x, alpha=1.0, *, out=None)");
    define<&elu_backward>(m, "elu_backward(y, dy, alpha=1.0, *, out=None)");
    define<&sigmoid_forward>(m, "sigmoid_forward(x, *, out=None)");
    define<&sigmoid_backward>(m, "sigmoid_backward(y, dy, *, out=None)");
    define<&silu_forward>(m, "silu_forward(x, *, out=None)");
    define<&silu_backward>(m, "silu_backward(x, dy, *, out=None)");
    define<&gelu_forward>(m, "gelu_forward(x, approximate='none', *, out=None)");
    define<&gelu_backward>(m, "gelu_backward(x, dy, approximate='none', *, out=None)");
    define<&clip_forward>(m, "clip_forward(x, minimum=0.0, maximum=6.0, *, out=None)");
    define<&clip_backward>(m, "clip_backward(y, dy, minimum=0.0, maximum=6.0, *, out=None)");
    define<&selu_forward>(m, "selu_forward(x, *, out=None)");
    define<&selu_backward>(m, "selu_backward(y, dy, *, out=None)");
    define<&softplus_forward>(m, "softplus_forward(x, *, out=None)");
    define<&softplus_backward>(m, "softplus_backward(y, dy, *, out=None)");
    define<&tanh_forward>(m, "tanh_forward(x, *, out=None)");
    define<&tanh_backward>(m, "tanh_backward(y, dy, *, out=None)");
    define<&dropout<InPlace::no>>(m, "dropout_forward(x, rate, *, key, counter, out=None)");
    define<&dropout<InPlace::yes>>(m, "dropout_backward(dy, rate, *, key, counter, out=None)");
    define<&prelu_forward>(m, "prelu_forward(x, slope, *, out=None)");
    define<&prelu_backward>(m, "prelu_backward(x, slope, dy, *, need_dx=True, out=None)");
}

}  // namespace relu_layers::bindings
