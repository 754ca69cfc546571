// Activations and dropout: every element by itself, so inputs of any layout meet in common rows.
#include <array>
#include <span>

#include "bindings/bindings.h"
#include "bindings/operands.h"

namespace relu_layers::bindings {
namespace {

// Whether `out` may be the input, which for sign_kept asks the first number to be at least 0, or dy.
enum class InPlace { no, yes, sign_kept, dy };

// What an op asks of its numbers, before it looks at the arrays.
using Check = void (*)(const Call&, const Real* numbers);

void anything(const Call&, const Real*) {}

void expect_alpha(const Call& call, const Real* alpha) {
    call.expect(alpha->number >= 0, *alpha, ">= 0: backward reads the sign of x off y");
}

void expect_limits(const Call& call, const Real* limits) {
    if (!(limits[0].number < limits[1].number))
        call.value_error("minimum is %R and maximum %R, expected minimum < maximum", limits[0].value, limits[1].value);
}

void check_in_place(Call& call, const Array& x, const Array& dy, const Array& y, InPlace in_place) {
    if (in_place == InPlace::dy) call.check_overlap(y, {&x}, &dy);
    else if (in_place == InPlace::no) call.check_overlap(y, {&x});
    else call.check_overlap(y, {}, &x);
}

// The sign of y has to tell that of x where y takes its memory.
void expect_sign_kept(const Call& call, const Array& x, const Array& y, const Real& slope) {
    if (!(slope.number >= 0) && y.data == x.data && y.size > 0)  // NaN is refused too
        call.value_error(
            "%s is %R and out is x: in place the sign of y would not tell the sign of x any more, and the gradient "
            "would be wrong; pass another out",
            slope.name, slope.value);
}

// What an op computes from: its input, or what forward took or gave and dy; and up to two numbers.
struct Operands {
    AsRows::View x{};
    AsRows::View dy{};
    double numbers[2] = {};
    Written::View y{};
};

// y = op(x, numbers) or dx = op(x, dy, numbers); `i` counts the numbers.
template <auto op, bool backward, class T, std::size_t... i>
void run(const void* kept, Run& run) {
    const auto& given = *static_cast<const Operands*>(kept);
    if constexpr (backward) op(given.x.at<T>(run), given.dy.at<T>(run), T(given.numbers[i])..., given.y.at<T>(run));
    else op(given.x.at<T>(run), T(given.numbers[i])..., given.y.at<T>(run));
}

// An op as it is described to the function that calls it.
struct Op {
    InPlace in_place;
    int work;
    Check check;
    Codes codes;
};

// dy is null for a forward.
py::object compute_elements(Call& call, const Op& op, Argument x_, const Argument* dy_, std::span<Real> numbers,
                            Argument out) {
    Operands operands;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i].read(call);
        operands.numbers[i] = numbers[i].number;
    }
    op.check(call, numbers.data());
    Array x(call, x_);
    Array dy;
    if (dy_ != nullptr) {
        call.read_floats(dy, *dy_);
        call.expect_shape(dy, Shape(x));
    }
    const Array y(call, out, Shape(x));
    check_in_place(call, x, dy, y, op.in_place);
    if (op.in_place == InPlace::sign_kept) expect_sign_kept(call, x, y, numbers[0]);
    const int split = dy_ != nullptr ? common_split(call, {&x, &dy}) : common_split(call, {&x});
    operands.x = AsRows{x, split}.of(call);
    if (dy_ != nullptr) operands.dy = AsRows{dy, split}.of(call);
    operands.y = Written{y}.of(call);
    call.run(op.work * double(y.size), operands, op.codes);
    return result(y);
}

template <auto op, InPlace in_place, int work, Check check, class... Number>
py::object compute_elements(Call& call, Argument x, const Argument* dy, Argument out, Number... number) {
    constexpr bool backward = in_place == InPlace::dy;
    static constexpr Op described = []<std::size_t... i>(std::index_sequence<i...>) {
        return Op{in_place, work, check, {&run<op, backward, float, i...>, &run<op, backward, double, i...>}};
    }(std::index_sequence_for<Number...>());
    std::array<Real, sizeof...(number)> numbers{number...};
    return compute_elements(call, described, x, dy, numbers, out);
}

template <auto op, InPlace in_place, int work, Check check = anything, class... Number>
struct Unary {
    static py::object call(Call& call, Argument x, Number... numbers, Argument out) {
        return compute_elements<op, in_place, work, check>(call, x, nullptr, out, numbers...);
    }
};

// The first operand is what forward took or gave.
template <auto op, Check check = anything, class... Number>
struct Gradient {
    static py::object call(Call& call, Argument state, Argument dy, Number... numbers, Argument out) {
        return compute_elements<op, InPlace::dy, 1, check>(call, state, &dy, out, numbers...);
    }
};

bool is_tanh_form(Call& call, Argument approximate) { return call.choice(approximate, {"none", "tanh"}) == 1; }

py::object gelu_forward(Call& call, Argument x, Argument approximate, Argument out) {
    if (is_tanh_form(call, approximate))
        return Unary<RELU_LAYERS_OP(gelu_tanh_forward), InPlace::no, work_of_exponential>::call(call, x, out);
    return Unary<RELU_LAYERS_OP(gelu_forward), InPlace::no, work_of_exponential>::call(call, x, out);
}

py::object gelu_backward(Call& call, Argument x, Argument dy, Argument approximate, Argument out) {
    if (is_tanh_form(call, approximate)) return Gradient<RELU_LAYERS_OP(gelu_tanh_backward)>::call(call, x, dy, out);
    return Gradient<RELU_LAYERS_OP(gelu_backward)>::call(call, x, dy, out);
}

// Both directions of dropout are the same map.
template <InPlace in_place>
py::object dropout(Call& call, Argument x_, Argument rate_, Argument key_, Argument counter_, Argument out) {
    const double rate = call.number(rate_);
    call.expect(rate >= 0 && rate < 1, rate_, "0 <= rate < 1");
    const std::uint64_t key = call.word(key_);
    const std::uint64_t counter = call.word(counter_);
    Array x(call, x_);
    const Array y(call, out, Shape(x));
    check_in_place(call, x, x, y, in_place);
    const auto drop = [=](const Run& run, auto xs, auto* ys) {
        ops::dropout(xs, rate, key, counter + run.forwards, ys);
    };
    compute(call, work_of_exponential * double(y.size), drop, ThisRun(), AsRows{x, common_split(call, {&x})},
            Written{y});
    return result(y);
}

// (..., features), and a slope per feature or one for all.
void expect_slopes(const Call& call, const Array& x, const Array& slope) {
    call.expect_shape(slope.ndim == 1, slope, "(features,), or (1,) for one slope for all");
    if (slope.size != 1 && (x.ndim == 0 || x.shape[x.ndim - 1] != slope.size))
        call.value_error("x has shape %s but slope has %zd features, expected as many on the last axis of x",
                         text_of(x).c_str(), slope.size);
}

int last_axis(const Array& array) { return array.ndim > 0 ? array.ndim - 1 : 0; }

py::object prelu_forward(Call& call, Argument x_, Argument slope_, Argument out) {
    Array x(call, x_);
    Array slope(call, slope_);
    expect_slopes(call, x, slope);
    const Array y(call, out, Shape(x));
    call.check_overlap(y, {&x, &slope});
    compute(call, double(x.size), RELU_LAYERS_OP(prelu_forward), AsRows{x, last_axis(x)}, AsNumbers{slope},
            Same{slope.size}, Written{y});
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
    compute(call, 2 * double(x.size), RELU_LAYERS_OP(prelu_backward), AsRows{x, last_axis(x)}, AsNumbers{slope},
            Same{slope.size}, AsRows{dy, last_axis(dy)}, Written{dx}, Written{dslope});
    return results.add(result(dx)).add(result(dslope)).take();
}

// Adds an op to the module; its name in C++ is the one in the signature.
template <auto op, InPlace in_place, int work, Check check = anything, class... Number>
void unary(py::handle m, const char* signature) {
    define<&Unary<op, in_place, work, check, Number...>::call>(m, signature);
}
template <auto op, Check check = anything, class... Number>
void gradient(py::handle m, const char* signature) {
    define<&Gradient<op, check, Number...>::call>(m, signature);
}

}  // namespace

void bind_elementwise(py::handle m) {
    constexpr int exp = work_of_exponential;
    using enum InPlace;
    unary<RELU_LAYERS_OP(relu_forward), sign_kept, 1, anything, Real>(
        m, "relu_forward(x, negative_slope=0.0, *, out=None)");
    gradient<RELU_LAYERS_OP(relu_backward), anything, Real>(m, "relu_backward(x, dy, negative_slope=0.0, *, out=None)");
    unary<RELU_LAYERS_OP(threshold_forward), no, 1, anything, Real, Real>(
        m, "threshold_forward(x, threshold, value, *, out=None)");
    gradient<RELU_LAYERS_OP(threshold_backward), anything, Real>(m,
                                                                 "threshold_backward(x, dy, threshold, *, out=None)");
    unary<RELU_LAYERS_OP(elu_forward), yes, exp, expect_alpha, Real>(m, "elu_forward(x, alpha=1.0, *, out=None)");
    gradient<RELU_LAYERS_OP(elu_backward), expect_alpha, Real>(m, "elu_backward(y, dy, alpha=1.0, *, out=None)");
    unary<RELU_LAYERS_OP(clip_forward), yes, 1, expect_limits, Real, Real>(
        m, "clip_forward(x, minimum=0.0, maximum=6.0, *, out=None)");
    gradient<RELU_LAYERS_OP(clip_backward), expect_limits, Real, Real>(
        m, "clip_backward(y, dy, minimum=0.0, maximum=6.0, *, out=None)");
    unary<RELU_LAYERS_OP(sigmoid_forward), yes, exp>(m, "sigmoid_forward(x, *, out=None)");
    gradient<RELU_LAYERS_OP(sigmoid_backward)>(m, "sigmoid_backward(y, dy, *, out=None)");
    unary<RELU_LAYERS_OP(silu_forward), no, exp>(m, "silu_forward(x, *, out=None)");
    gradient<RELU_LAYERS_OP(silu_backward)>(m, "silu_backward(x, dy, *, out=None)");
    unary<RELU_LAYERS_OP(selu_forward), yes, exp>(m, "selu_forward(x, *, out=None)");
    gradient<RELU_LAYERS_OP(selu_backward)>(m, "selu_backward(y, dy, *, out=None)");
    unary<RELU_LAYERS_OP(softplus_forward), yes, exp>(m, "softplus_forward(x, *, out=None)");
    gradient<RELU_LAYERS_OP(softplus_backward)>(m, "softplus_backward(y, dy, *, out=None)");
    unary<RELU_LAYERS_OP(tanh_forward), yes, exp>(m, "tanh_forward(x, *, out=None)");
    gradient<RELU_LAYERS_OP(tanh_backward)>(m, "tanh_backward(y, dy, *, out=None)");
    define<&gelu_forward>(m, "gelu_forward(x, approximate='none', *, out=None)");
    define<&gelu_backward>(m, "gelu_backward(x, dy, approximate='none', *, out=None)");
    define<&dropout<no>>(m, "dropout_forward(x, rate, *, key, counter, out=None)");
    define<&dropout<yes>>(m, "dropout_backward(dy, rate, *, key, counter, out=None)");
    define<&prelu_forward>(m, "prelu_forward(x, slope, *, out=None)");
    define<&prelu_backward>(m, "prelu_backward(x, slope, dy, *, need_dx=True, out=None)");
}

}  // namespace relu_layers::bindings
