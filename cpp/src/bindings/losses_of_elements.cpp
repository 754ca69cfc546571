// Losses of single numbers: of all elements, or of one column for each row.
#include "bindings/bindings.h"
#include "bindings/losses.h"

namespace relu_layers::bindings {
namespace {

// An input in the rows that it has in common with another.
struct RowsInCommon {
    Array& array;
    Array& other;

    AsRows::View of(Call& call) const { return AsRows{array, common_split(call, {&array, &other})}.of(call); }
};

// A loss whose positions are the elements.
template <class Function, class... Number>
py::object of_elements(Call& call, LossOptions& common, Array& prediction, Argument target_, Argument sample_weight,
                       Argument out, double work, Function function, Number... numbers) {
    Array target(call, target_);
    call.expect_shape(target, Shape(prediction));
    common.read_sample_weight(call, prediction, sample_weight);
    common.count_positions(call, prediction, prediction.size, prediction.ndim > 0 ? prediction.shape[0] : 1);
    return common.finish(call, prediction, out, {&target}, work, function, RowsInCommon{prediction, target},
                         RowsInCommon{target, prediction}, numbers...);
}

py::object sigmoid_cross_entropy(Call& call, Argument logits_, Argument targets, Argument sample_weight,
                                 Argument ignore_label_, Argument normalization_, Argument out) {
    LossOptions common;
    common.read_normalization(call, normalization_);
    if (!ignore_label_.is_none()) {
        common.numbers.has_ignore = true;
        common.numbers.ignore_value = call.number(ignore_label_);
    }
    Array logits(call, logits_);
    return of_elements(call, common, logits, targets, sample_weight, out, work_of_exponential,
                       RELU_LAYERS_OP(sigmoid_cross_entropy));
}

// A loss of one element of each row, that of its column.
template <class Function, class... Number>
py::object of_columns(Call& call, LossOptions& common, Array& prediction, Argument target_, Argument columns_,
                      Argument sample_weight, Argument out, Function function, Number... numbers) {
    call.expect_shape(prediction.ndim == 2, prediction, "(batch, outputs) where columns are given");
    const Shape by_row(prediction, 1);
    Array target(call, target_);
    call.expect_shape(target, by_row);
    Array columns;
    read_integers(call, columns, columns_);
    call.expect_shape(columns, by_row);
    common.read_sample_weight(call, prediction, sample_weight);
    common.count_positions(call, prediction, prediction.shape[0], prediction.shape[0]);
    return common.finish(call, prediction, out, {&target, &columns}, 1, function, AsRows{prediction, 1},
                         Indices{columns_of_prediction, columns, common, prediction.shape[1]}, AsNumbers{target},
                         numbers...);
}

// A loss of prediction - target and a number, of all elements or of one column for each row.
template <class Function>
py::object of_difference(Call& call, Argument prediction_, Argument target, Argument columns, Argument sample_weight,
                         Argument normalization, Argument out, Function function, Real number) {
    LossOptions common;
    common.read_normalization(call, normalization);
    Array prediction(call, prediction_);
    if (!columns.is_none())
        return of_columns(call, common, prediction, target, columns, sample_weight, out, function, number);
    return of_elements(call, common, prediction, target, sample_weight, out, 1, function, number);
}

py::object squared_error(Call& call, Argument prediction, Argument target, Argument columns, Real scale,
                         Argument sample_weight, Argument normalization, Argument out) {
    scale.read(call);
    return of_difference(call, prediction, target, columns, sample_weight, normalization, out,
                         RELU_LAYERS_OP(squared_error), scale);
}

py::object huber(Call& call, Argument prediction, Argument target, Argument columns, Real delta, Argument sample_weight,
                 Argument normalization, Argument out) {
    delta.read(call);
    call.expect(delta.number > 0 && std::isfinite(delta.number), delta, "a finite number above 0");
    return of_difference(call, prediction, target, columns, sample_weight, normalization, out, RELU_LAYERS_OP(huber),
                         delta);
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
