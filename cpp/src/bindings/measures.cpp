// What training measures on its way: norms and sums of gradients, active units, right predictions.
#include "bindings/bindings.h"
#include "bindings/operands.h"

namespace relu_layers::bindings {
namespace {

double sum_of_squares(Call& call, Argument x_) {
    Array x(call, x_);
    if (!x.contiguous()) call.value_error("x is not C-contiguous: pass np.ascontiguousarray(x)");
    const auto add = [](Run& run, auto xs) { run.number += ops::sum_of_squares(xs); };
    return compute(call, double(x.size), add, ThisRun(), AsRows{x, 0}).number;
}

void accumulate(Call& call, Argument total_, Argument grad_) {
    Array total;
    Array grad;
    read_contiguous(call, grad, grad_);
    call.update(total, total_, Shape(grad), grad.type);
    call.check_overlap(total, {&grad});
    compute(call, double(grad.size), RELU_LAYERS_OP(accumulate), Same{grad.size}, Written{total}, AsNumbers{grad});
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
    const auto add = [=, n = param.size](Run& run, auto* params, auto* grads, auto* weights) {
        double divisor = weights == nullptr ? double(batch) : 0;
        for (index_t i = 0; weights != nullptr && i < batch; ++i) divisor += double(weights[i]);
        run.number += ops::l2_penalty(n, params, grads, strength, divisor);
    };
    penalty.set(
        compute(call, 2 * double(param.size), add, ThisRun(), AsNumbers{param}, Written{grad}, AsNumbers{weight})
            .number);
    return penalty.take();
}

index_t mark_active(Call& call, Argument x_, Argument active_) {
    Array x(call, x_);
    call.expect_shape(x.ndim > 0, x, "(..., units)");
    Array active;
    call.update(active, active_, Shape().add(x.shape[x.ndim - 1]), uint8_type);
    call.check_overlap(active, {&x});
    const auto mark = [marks = active.place()](Run& run, auto xs) {
        run.inactive = ops::mark_active(xs, marks.in<std::uint8_t>(run));
    };
    return compute(call, double(x.size), mark, ThisRun(), AsRows{x, x.ndim - 1}).inactive;
}

bool all_finite(Call& call, Argument x_) {
    Array x(call, x_);
    if (!x.plain()) call.value_error("x is not C-contiguous and aligned: pass np.ascontiguousarray(x)");
    const auto look = [n = x.size](Run& run, const auto* xs) { run.refused = !ops::all_finite(n, xs); };
    return !compute(call, 0.25 * double(x.size), look, ThisRun(), AsNumbers{x}).refused;
}

index_t count_correct(Call& call, Argument logits_, Argument labels_) {
    Array logits(call, logits_);
    call.expect_shape(logits.ndim == 2 && logits.shape[1] > 0, logits, "(batch, classes) with a class");
    Array labels;
    read_integers(call, labels, labels_);
    call.expect_shape(labels, Shape(logits, 1));
    const auto look = [](Run& run, auto xs, auto indices) { run.correct = ops::count_correct(xs, indices); };
    return compute(call, double(logits.size), look, ThisRun(), AsRows{logits, 1}, AsIntegers{labels}).correct;
}

index_t count_agreeing(Call& call, Argument logits_, Argument targets_) {
    Array logits(call, logits_);
    Array targets(call, targets_);
    call.expect_shape(targets, Shape(logits));
    const auto look = [](Run& run, auto xs, auto ts) { run.correct = ops::count_agreeing(xs, ts); };
    return compute(call, double(logits.size), look, ThisRun(), AsRows{logits, 0}, AsRows{targets, 0}).correct;
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
