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
        return call.run(double(x.size), [=](Run& run) { run.number += ops::sum_of_squares(xs(run)); }).number;
    });
}

void accumulate(Call& call, Argument total_, Argument grad_) {
    Array total;
    Array grad;
    read_contiguous(call, grad, grad_);
    call.update(total, total_, Shape(grad), grad.type);
    call.check_overlap(total, {&grad});
    for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto grads = contiguous<T>(call, grad);
        const auto totals = total.pointer<T>();
        const index_t n = grad.size;
        call.run(double(n), [=](Run& run) { ops::accumulate(n, totals(run), grads(run)); });
    });
}

py::object l2_penalty(Call& call, Argument param_, Argument grad_, Argument strength_, Argument rows_,
                      Argument sample_weight_) {
    const double strength = call.number(strength_);
    const auto batch = static_cast<index_t>(call.integer(rows_));
    Array param;
    Array grad;
    Array weight;
    read_contiguous(call, param, param_);
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
        const auto params = contiguous<T>(call, param);
        const auto weights = contiguous<T>(call, weight);
        const auto grads = grad.pointer<T>();
        const bool weighted = weight.present();
        const index_t n = param.size;
        const Run then = call.run(2 * double(n), [=](Run& run) {
            double divisor = double(batch);
            if (weighted) {
                const T* w = weights(run);
                divisor = 0;
                for (index_t i = 0; i < batch; ++i) divisor += double(w[i]);
            }
            run.number += ops::l2_penalty(n, params(run), grads(run), strength, divisor);
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
        const auto marks = active.pointer<std::uint8_t>();
        return call.run(double(x.size), [=](Run& run) { run.inactive = ops::mark_active(xs(run), marks(run)); })
            .inactive;
    });
}

bool all_finite(Call& call, Argument x_) {
    Array x(call, x_);
    if (!x.plain()) call.value_error("x is not C-contiguous and aligned: pass np.ascontiguousarray(x)");
    return for_type(call, [&](auto element) {
        using T = decltype(element);
        const auto xs = x.pointer<T>();
        const index_t n = x.size;
        return !call.run(0.25 * double(n), [=](Run& run) { run.refused = !ops::all_finite<T>(n, xs(run)); }).refused;
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
                 [=](Run& run) { run.correct = ops::count_correct(rows_of_logits(run), indices(run)); })
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
        return call.run(double(logits.size), [=](Run& run) { run.correct = ops::count_agreeing(xs(run), ts(run)); })
            .correct;
    });
}

}  // namespace

void bind_measures(py::handle m) {
    define<&sum_of_squares>(m, "sum_of_squares(x)");
    define<&accumulate>(m, "accumulate(total, grad)");
    define<&l2_penalty>(m, "l2_penalty(param, grad, *, strength, rows, sample_weight=None)");
    define<&mark_active>(m, "mark_active(x, active)");
    define<&all_finite>(m, "all_finite(x)");
    define<&count_correct>(m, "count_correct(logits, labels)");
    define<&count_agreeing>(m, "count_agreeing(logits, targets)");
}

}  // namespace relu_layers::bindings
