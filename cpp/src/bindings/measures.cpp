// What training measures on its way: norms and sums of gradients, active units, right predictions.
#include "bindings/bindings.h"
#include "bindings/fastcall.h"
#include "bindings/integers.h"
#include "bindings/layout.h"

namespace relu_layers::bindings {
namespace {

double sum_of_squares(py::handle x_) {
    Call call("sum_of_squares");
    Array x;
    call.read_floats(x, "x", x_);
    if (!x.contiguous()) call.value_error("x is not C-contiguous: pass np.ascontiguousarray(x)");
    double sum = 0;
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, 0);
        sum = call.run(double(x.size), [=](Moment& now) { now.number += ops::sum_of_squares(xs(now)); }).number;
    });
    return sum;
}

void accumulate(py::handle total_, py::handle grad_) {
    Call call("accumulate");
    Array total;
    Array grad;
    read_run(call, grad, "grad", grad_);
    call.update(total, "total", total_, Shape(grad), grad.type);
    call.check_overlap(total, {&grad});
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto grads = run_of<T>(call, grad);
        const auto totals = total.run<T>();
        const index_t n = grad.size;
        call.run(double(n), [=](Moment& now) { ops::accumulate(n, totals(now), grads(now)); });
    });
}

double l2_penalty(py::handle param_, py::handle grad_, py::handle strength_, py::handle rows_,
                  py::handle sample_weight_) {
    Call call("l2_penalty");
    const double strength = call.number("strength", strength_);
    const auto batch = static_cast<index_t>(call.integer("rows", rows_));
    Array param;
    Array grad;
    Array weight;
    read_run(call, param, "param", param_);
    call.update(grad, "grad", grad_, Shape(param), param.type);
    call.check_overlap(grad, {&param});
    call.read_optional_floats(weight, "sample_weight", sample_weight_);
    if (weight.present()) {
        call.expect_shape(weight, Shape().add(batch));
        call.check_overlap(grad, {&weight});
    }
    double penalty = 0;
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto params = run_of<T>(call, param);
        const auto weights = run_of<T>(call, weight);
        const auto grads = grad.run<T>();
        const bool weighted = weight.present();
        const index_t n = param.size;
        penalty = call.run(2 * double(n),
                           [=](Moment& now) {
                               double divisor = double(batch);
                               if (weighted) {
                                   const T* w = weights(now);
                                   divisor = 0;
                                   for (index_t i = 0; i < batch; ++i) divisor += double(w[i]);
                               }
                               now.number += ops::l2_penalty(n, params(now), grads(now), strength, divisor);
                           })
                      .number;
    });
    return penalty;
}

index_t mark_active(py::handle x_, py::handle active_) {
    Call call("mark_active");
    Array x;
    Array active;
    call.read_floats(x, "x", x_);
    if (x.ndim == 0) call.value_error("x has shape (), expected (..., units)");
    const index_t units = x.shape[x.ndim - 1];
    call.update(active, "active", active_, Shape().add(units), uint8_type);
    call.check_overlap(active, {&x});
    index_t inactive = 0;
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, x.ndim - 1);
        const auto marks = active.run<std::uint8_t>();
        inactive = call.run(double(x.size), [=](Moment& now) { now.inactive = ops::mark_active(xs(now), marks(now)); })
                       .inactive;
    });
    return inactive;
}

index_t count_correct(py::handle logits_, py::handle labels_) {
    Call call("count_correct");
    Array logits;
    Array labels;
    call.read_floats(logits, "logits", logits_);
    if (logits.ndim != 2 || logits.shape[1] == 0)
        call.value_error("logits has shape " + text_of(logits) + ", expected (batch, classes) with a class");
    call.read(labels, "labels", labels_);
    if (!is_integer(labels))
        call.type_error("labels has dtype " + dtype_name(labels) + ", expected integers: pass labels.astype(np.int64)");
    call.expect_shape(labels, Shape(logits, 1));
    index_t correct = 0;
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto rows_of_logits = rows<T>(call, logits, 1);
        if (!labels.plain()) call.copy(labels);
        const auto indices = integers(labels);
        correct = call.run(double(logits.size),
                           [=](Moment& now) { now.correct = ops::count_correct(rows_of_logits(now), indices(now)); })
                      .correct;
    });
    return correct;
}

index_t count_agreeing(py::handle logits_, py::handle targets_) {
    Call call("count_agreeing");
    Array logits;
    Array targets;
    call.read_floats(logits, "logits", logits_);
    call.read_floats(targets, "targets", targets_);
    call.expect_shape(targets, Shape(logits));
    index_t agreeing = 0;
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, logits, 0);
        const auto ts = rows<T>(call, targets, 0);
        agreeing =
            call.run(double(logits.size), [=](Moment& now) { now.correct = ops::count_agreeing(xs(now), ts(now)); })
                .correct;
    });
    return agreeing;
}

}  // namespace

void bind_measures(py::module_& m) {
    define<&sum_of_squares>(m, "sum_of_squares(x)");
    define<&accumulate>(m, "accumulate(total, grad)");
    define<&l2_penalty>(m, "l2_penalty(param, grad, strength, rows, sample_weight)");
    define<&mark_active>(m, "mark_active(x, active)");
    define<&count_correct>(m, "count_correct(logits, labels)");
    define<&count_agreeing>(m, "count_agreeing(logits, targets)");
}

}  // namespace relu_layers::bindings
