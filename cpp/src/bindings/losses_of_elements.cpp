// Losses of single numbers: of all elements, or of one column for each row.
#include "bindings/bindings.h"
#include "bindings/losses.h"

namespace relu_layers::bindings {
namespace {

// A loss whose positions are the elements; out may be the prediction. f(weights, gradient, predictions, targets).
template <class Function>
py::object elementwise(Call& call, LossOptions& common, Array& prediction, Array& target, Argument sample_weight,
                       Argument out, double work, Function function) {
    common.read_sample_weight(call, prediction, sample_weight);
    common.count_positions(call, prediction, prediction.size, prediction.ndim > 0 ? prediction.shape[0] : 1);
    const Array gradient(call, out, Shape(prediction));
    call.check_overlap(gradient, {}, &prediction);
    call.check_overlap(gradient, {&target, &common.sample_weight});
    Losses losses(gradient);
    if (prediction.size > 0)
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const int split = common_split(call, {&prediction, &target});
            const auto predictions = rows<T>(call, prediction, split);
            const auto targets = rows<T>(call, target, split);
            const auto weights = common.weights<T>(call);
            const auto gradients = gradient.pointer<T>();
            const Run then = call.run(work * double(prediction.size), [=](Run& run) {
                run.number = function(weights(run), gradients(run), predictions(run), targets(run));
            });
            losses.set(then.number);
        });
    return losses.take();
}

py::object sigmoid_cross_entropy(Call& call, Argument logits_, Argument targets_, Argument sample_weight,
                                 Argument ignore_label_, Argument normalization_, Argument out) {
    LossOptions common;
    common.read_normalization(call, normalization_);
    if (!ignore_label_.is_none()) {
        common.has_ignore = true;
        common.ignore_value = call.number(ignore_label_);
    }
    Array logits(call, logits_);
    Array targets(call, targets_);
    call.expect_shape(targets, Shape(logits));
    return elementwise(
        call, common, logits, targets, sample_weight, out, work_of_exponential,
        [](auto weights, auto* dx, auto x, auto t) { return ops::sigmoid_cross_entropy(x, t, weights, dx); });
}

// A loss of one element of each row, that of its column. f(weights, gradient, predictions, columns, targets).
template <class Function>
py::object elements_of_columns(Call& call, LossOptions& common, Array& prediction, Argument target_, Argument columns_,
                               Argument sample_weight, Argument out, Function function) {
    if (prediction.ndim != 2)
        call.value_error("prediction has shape " + text_of(prediction) +
                         ", expected (batch, outputs) where columns are given");
    const Shape by_row(prediction, 1);
    const index_t outputs = prediction.shape[1];
    Array target(call, target_);
    call.expect_shape(target, by_row);
    Array columns;
    call.read(columns, columns_);
    if (!is_integer(columns))
        call.type_error("columns has dtype " + dtype_name(columns) +
                        ", expected integers: pass columns.astype(np.int64)");
    call.expect_shape(columns, by_row);
    common.read_sample_weight(call, prediction, sample_weight);
    common.count_positions(call, prediction, prediction.shape[0], prediction.shape[0]);
    const Array gradient(call, out, Shape(prediction));
    call.check_overlap(gradient, {}, &prediction);
    call.check_overlap(gradient, {&target, &columns, &common.sample_weight});
    Losses losses(gradient);
    if (columns.size > 0)
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const auto predictions = rows<T>(call, prediction, 1);
            const auto targets = contiguous<T>(call, target);
            if (!columns.plain()) call.copy(columns);
            const auto chosen = integers(columns);
            const auto weights = common.weights<T>(call);
            check_indices(call, columns_of_prediction, chosen, common, by_row, outputs);
            const auto gradients = gradient.pointer<T>();
            const Run then = call.run(double(prediction.size), [=](Run& run) {
                run.number = function(weights(run), gradients(run), predictions(run), chosen(run), targets(run));
            });
            losses.set(then.number);
        });
    return losses.take();
}

// A loss of prediction - target, of all elements or of one column for each row.
// f(weights, gradient, predictions, [columns,] targets).
template <class Function>
py::object of_difference(Call& call, Argument prediction_, Argument target_, Argument columns, Argument sample_weight,
                         Argument normalization, Argument out, Function function) {
    LossOptions common;
    common.read_normalization(call, normalization);
    Array prediction(call, prediction_);
    if (!columns.is_none())
        return elements_of_columns(call, common, prediction, target_, columns, sample_weight, out, function);
    Array target(call, target_);
    call.expect_shape(target, Shape(prediction));
    return elementwise(call, common, prediction, target, sample_weight, out, 1, function);
}

py::object squared_error(Call& call, Argument prediction, Argument target, Argument columns, Argument scale_,
                         Argument sample_weight, Argument normalization, Argument out) {
    const double scale = call.number(scale_);
    return of_difference(call, prediction, target, columns, sample_weight, normalization, out,
                         [=](auto weights, auto* dp, auto... given) {
                             return ops::squared_error(given..., decltype(+*dp)(scale), weights, dp);
                         });
}

py::object huber(Call& call, Argument prediction, Argument target, Argument columns, Argument delta_,
                 Argument sample_weight, Argument normalization, Argument out) {
    const double delta = call.number(delta_);
    if (!(delta > 0 && std::isfinite(delta)))
        call.value_error("delta is " + repr_of(delta_.value) + ", expected a finite number above 0");
    return of_difference(call, prediction, target, columns, sample_weight, normalization, out,
                         [=](auto weights, auto* dp, auto... given) {
                             return ops::huber(given..., decltype(+*dp)(delta), weights, dp);
                         });
}

}  // namespace

void bind_elementwise_losses(py::handle m) {
    define<&sigmoid_cross_entropy>(m,
                                   "sigmoid_cross_entropy(logits, targets, *, sample_weight=None, ignore_label=None, "
                                   "normalization='batch_size', out=None)");
    define<&squared_error>(m,
                           "squared_error(prediction, target, *, columns=None, scale=1.0, sample_weight=None, "
                           "normalization='full', out=None)");
    define<&huber>(m,
                   "huber(prediction, target, *, columns=None, delta=1.0, sample_weight=None, normalization='full', "
                   "out=None)");
}

}  // namespace relu_layers::bindings
