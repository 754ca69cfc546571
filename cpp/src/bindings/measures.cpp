// What training measures on its way: norms and sums of gradients, active units, right predictions.
#include "bindings/bindings.h"
#include "bindings/integers.h"
#include "bindings/layout.h"

namespace relu_layers::bindings {
namespace {

double sum_of_squares(Call& call, Argument x_) {
    Array x(call, x_);
    if (!x.contiguous()) call.value_error("x is not C-contiguous: pass np.ascontiguousarray(x)");
    return for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, 0);
        return call.run(double(x.size), [=](Moment& now) { now.number += ops::sum_of_squares(xs(now)); }).number;
    });
}

void accumulate(Call& call, Argument total_, Argument grad_) {
    Array total;
    Array grad;
    read_run(call, grad, grad_);
    call.update(total, total_, Shape(grad), grad.type);
    call.check_overlap(total, {&grad});
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto grads = run_of<T>(call, grad);
        const auto totals = total.run<T>();
        const index_t n = grad.size;
        call.run(double(n), [=](Moment& now) { ops::accumulate(n, totals(now), grads(now)); });
    });
}

py::object l2_penalty(Call& call, Argument param_, Argument grad_, Argument strength_, Argument rows_,
                      Argument sample_weight_) {
    const double strength = call.number(strength_);
    const auto batch = static_cast<index_t>(call.integer(rows_));
    Array param;
    Array grad;
    Array weight;
    read_run(call, param, param_);
    call.update(grad, grad_, Shape(param), param.type);
    call.check_overlap(grad, {&param});
    call.read_optional_floats(weight, sample_weight_);
    if (weight.present()) {
        call.expect_shape(weight, Shape().add(batch));
        call.check_overlap(grad, {&weight});
    }
    Number penalty;
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto params = run_of<T>(call, param);
        const auto weights = run_of<T>(call, weight);
        const auto grads = grad.run<T>();
        const bool weighted = weight.present();
        const index_t n = param.size;
        const Moment then = call.run(2 * double(n), [=](Moment& now) {
            double divisor = double(batch);
            if (weighted) {
                const T* w = weights(now);
                divisor = 0;
                for (index_t i = 0; i < batch; ++i) divisor += double(w[i]);
            }
            now.number += ops::l2_penalty(n, params(now), grads(now), strength, divisor);
        });
        penalty.set(then.number);
    });
    return penalty.take();
}

index_t mark_active(Call& call, Argument x_, Argument active_) {
    Array x(call, x_);
    if (x.ndim == 0) call.value_error("x has shape (), expected (..., units)");
    const index_t units = x.shape[x.ndim - 1];
    Array active;
    call.update(active, active_, Shape().add(units), uint8_type);
    call.check_overlap(active, {&x});
    return for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, x, x.ndim - 1);
        const auto marks = active.run<std::uint8_t>();
        return call.run(double(x.size), [=](Moment& now) { now.inactive = ops::mark_active(xs(now), marks(now)); })
            .inactive;
    });
}

index_t count_correct(Call& call, Argument logits_, Argument labels_) {
    Array logits(call, logits_);
    if (logits.ndim != 2 || logits.shape[1] == 0)
        call.value_error("logits has shape " + text_of(logits) + ", expected (batch, classes) with a class");
    Array labels;
    call.read(labels, labels_);
    if (!is_integer(labels))
        call.type_error("labels has dtype " + dtype_name(labels) + ", expected integers: pass labels.astype(np.int64)");
    call.expect_shape(labels, Shape(logits, 1));
    return for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto rows_of_logits = rows<T>(call, logits, 1);
        if (!labels.plain()) call.copy(labels);
        const auto indices = integers(labels);
        return call
            .run(double(logits.size),
                 [=](Moment& now) { now.correct = ops::count_correct(rows_of_logits(now), indices(now)); })
            .correct;
    });
}

index_t count_agreeing(Call& call, Argument logits_, Argument targets_) {
    Array logits(call, logits_);
    Array targets(call, targets_);
    call.expect_shape(targets, Shape(logits));
    return for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = rows<T>(call, logits, 0);
        const auto ts = rows<T>(call, targets, 0);
        return call.run(double(logits.size), [=](Moment& now) { now.correct = ops::count_agreeing(xs(now), ts(now)); })
            .correct;
    });
}

}  // namespace

void bind_measures(py::handle m) {
    define<&sum_of_squares>(m, "sum_of_squares(x)");
    define<&accumulate>(m, "accumulate(total, grad)");
    define<&l2_penalty>(m, "l2_penalty(param, grad, *, strength, rows, sample_weight=None)");
    define<&mark_active>(m, "mark_active(x, active)");
    define<&count_correct>(m, "count_correct(logits, labels)");
    define<&count_agreeing>(m, "count_agreeing(logits, targets)");
}

}  // namespace relu_layers::bindings
