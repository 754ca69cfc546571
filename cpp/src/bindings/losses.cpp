// Losses with their gradients. Labels are checked in full before anything is written.
#include <cmath>
#include <limits>

#include "bindings/bindings.h"
#include "bindings/integers.h"
#include "bindings/layout.h"

namespace relu_layers::bindings {
namespace {

// The first bad entry, which find(run) gives, -1 for none. Before anything is written: now, or, while a program is being
// recorded, before each of its runs, which refuses to go on.
template <class Find>
index_t first_bad(Call& call, Find find) {
    if (call.recorder() == nullptr) return find(Run());
    call.recorder()->add_check([=](Run& run) { run.refused = run.refused || find(run) >= 0; });
    return -1;
}

// What the losses share: the mean's divisor, the weights of the samples and the label that does not count.
struct Common {
    Array sample_weight;
    Normalization normalization = Normalization::none;
    bool has_ignore = false;
    std::int64_t ignore_label = 0;
    double ignore_value = 0;
    index_t positions = 1;
    index_t batch_size = 1;
    index_t positions_per_sample = 1;

    void read_normalization(Call& call, Argument value) {
        constexpr Normalization all[] = {Normalization::valid, Normalization::full, Normalization::batch_size,
                                         Normalization::none};
        normalization = all[call.choice(value, {"valid", "full", "batch_size", "none"})];
    }
    // `leading` is what Normalization::batch_size divides by.
    void count_positions(Call& call, const Array& prediction, index_t number, index_t leading) {
        positions = number;
        batch_size = leading > 0 ? leading : 1;
        if (positions == 0 && normalization != Normalization::none)
            call.value_error(std::string(prediction.name) + " has shape " + text_of(prediction) +
                             ", and there is no mean over nothing: pass at least one row, or normalization='none'");
        if (prediction.ndim > 0 && prediction.shape[0] > 0) positions_per_sample = positions / prediction.shape[0];
    }
    void read_sample_weight(Call& call, const Array& prediction, Argument value) {
        call.read_optional_floats(sample_weight, value);
        if (!sample_weight.present()) return;
        if (prediction.ndim == 0)
            call.value_error(std::string("sample_weight needs a batch axis, but ") + prediction.name + " has shape ()");
        call.expect_shape(sample_weight, Shape(prediction, 1));
    }
    // The weights of each run: placed(run). Each of them is checked before anything is written.
    template <class T>
    auto weights(Call& call) {
        const Placed<const T*> samples = contiguous<T>(call, sample_weight);
        if (sample_weight.present()) check_weights(call, samples);
        const ops::LossWeights<T> plain{nullptr,    positions_per_sample, normalization, batch_size,
                                        has_ignore, ignore_label,         ignore_value};
        return [=](const Run& run) {
            ops::LossWeights<T> weights = plain;
            weights.sample_weight = samples(run);
            return weights;
        };
    }

  private:
    // Finite, and not below 0 where a mean divides by their sum: that could be as small as you like.
    template <class T>
    void check_weights(Call& call, const Placed<const T*>& samples) const {
        const index_t n = sample_weight.size;
        const T largest = std::numeric_limits<T>::max();
        const T lowest = normalization == Normalization::valid ? T(0) : -largest;
        const index_t bad = first_bad(call, [=](const Run& run) {
            const T* weights = samples(run);
            index_t i = 0;
            while (i < n && weights[i] >= lowest && weights[i] <= largest) ++i;
            return i < n ? i : -1;
        });
        if (bad < 0) return;
        const T value = samples(Run())[bad];
        const py::object number = owned(PyFloat_FromDouble(double(value)));
        const char* const expected =
            std::isfinite(value)
                ? ", but the loss is divided by the sum of the weights: expected at least 0, or a normalization that "
                  "divides by a number of rows ('full', 'batch_size', 'none')"
                : ", expected finite numbers";
        call.value_error("sample_weight[" + std::to_string(bad) + "] is " + repr_of(number.ptr()) + expected);
    }
};

// A loss and its gradient, as they are returned; made before the run that computes them.
class Losses {
  public:
    explicit Losses(const Array& gradient) : gradient_(result(gradient)) {}
    void set(double loss) { loss_.set(loss); }
    py::object take() { return pair_.add(loss_.take()).add(gradient_).take(); }

  private:
    py::object gradient_;
    Number loss_;
    Results pair_{2};
};

int class_axis_of_logits(Call& call, const Array& logits, Argument axis_) {
    const int axis = class_axis(call, logits, axis_);
    if (logits.shape[axis] == 0)
        call.value_error("logits has shape " + text_of(logits) + " with no class on axis " + std::to_string(axis));
    return axis;
}

Shape without_axis(const Array& array, int axis) {
    Shape shape(array, axis);
    for (int i = axis + 1; i < array.ndim; ++i) shape.add(array.shape[i]);
    return shape;
}

// A number that the labels' type cannot hold matches no label.
void read_ignore_label(Call& call, Common& common, const Array& labels, Argument value) {
    if (value.is_none()) return;
    if (!is_integer(labels)) call.value_error("ignore_label needs integer labels, but labels holds probabilities");
    const py::int_ number = call.index(value);
    const bool full_words = labels.item_bytes == 8 && !is_signed(labels);
    int overflow = 0;
    common.ignore_label = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    common.has_ignore = overflow == 0 && !(full_words && common.ignore_label < 0);
    if (overflow > 0 && full_words) {
        const unsigned long long bits = PyLong_AsUnsignedLongLong(number.ptr());
        common.has_ignore = PyErr_Occurred() == nullptr;
        PyErr_Clear();
        common.ignore_label = static_cast<std::int64_t>(bits);  // as ops::Labels reads such a word
    }
}

// Integers that name one of several: what they are called, and what there are several of.
struct Indices {
    const char* name;
    const char* of_many;
    const char* one;
};
constexpr Indices labels_of_logits = {"labels", "logits have # classes", "label"};
constexpr Indices columns_of_prediction = {"columns", "prediction has # columns", "column"};

[[noreturn]] void bad_index(const Call& call, const Indices& kind, const ops::Labels& labels, const Shape& shape,
                            index_t position, index_t classes) {
    const std::int64_t label = labels[position];
    std::string place;
    for (int i = shape.ndim - 1; i >= 0; --i) {
        place = std::to_string(position % shape.dims[i]) + (place.empty() ? "" : ", ") + place;
        position /= shape.dims[i];
    }
    if (shape.ndim > 0) place = "[" + place + "]";
    const std::string value =
        labels.is_signed ? std::to_string(label) : std::to_string(static_cast<std::uint64_t>(label));
    const std::string number = std::to_string(classes);
    std::string many = kind.of_many;
    many.replace(many.find('#'), 1, number);
    throw py::index_error(std::string(call.op()) + ": " + kind.name + place + " is " + value + " but " + many +
                          ": expected 0 <= " + kind.one + " < " + number);
}

// All of them.
void check_indices(Call& call, const Indices& kind, const Placed<ops::Labels>& labels, const Common& common,
                   const Shape& shape, index_t classes) {
    const bool has_ignore = common.has_ignore;
    const std::int64_t ignored = common.ignore_label;
    const index_t positions = common.positions;
    const index_t bad = first_bad(call, [=](const Run& run) {
        return ops::find_bad_label(labels(run), positions, classes, has_ignore, ignored);
    });
    if (bad >= 0) bad_index(call, kind, labels.view, shape, bad, classes);
}

// Integers of the logits' shape without the class axis, or probabilities of the logits' own shape and type.
void read_labels(Call& call, Array& labels, Argument labels_, const Array& logits, int axis) {
    call.read(labels, labels_);
    const Shape classless = without_axis(logits, axis);
    if (is_integer(labels)) {
        if (!labels.same_shape(classless.ndim, classless.dims))
            call.value_error("labels has shape " + text_of(labels) + ", expected " + text_of(classless) +
                             ", the shape of logits without axis " + std::to_string(axis) +
                             (labels.same_shape(logits.ndim, logits.shape)
                                  ? ": where labels are one-hot, pass labels.argmax(axis=" + std::to_string(axis) + ")"
                                  : reshaped(labels, classless)));
        return;
    }
    if (labels.type == bool_type || labels.same_shape(classless.ndim, classless.dims))
        call.type_error("labels has dtype " + dtype_name(labels) +
                        ", expected integers, or probabilities of the shape of logits: pass labels.astype(np.int64)");
    call.expect_floats(labels);
    call.expect_shape(labels, Shape(logits));
}

py::object softmax_cross_entropy(Call& call, Argument logits_, Argument labels_, Argument axis_, Argument class_weight_,
                                 Argument sample_weight_, Argument label_smoothing_, Argument ignore_label_,
                                 Argument normalization_, Argument out) {
    const double smoothing = call.number(label_smoothing_);
    if (!(smoothing >= 0 && smoothing <= 1))
        call.value_error("label_smoothing is " + repr_of(label_smoothing_.value) +
                         ", expected 0 <= label_smoothing <= 1");
    Common common;
    common.read_normalization(call, normalization_);
    Array logits(call, logits_);
    const int axis = class_axis_of_logits(call, logits, axis_);
    const index_t classes = logits.shape[axis];
    const index_t inner = count(logits, axis + 1, logits.ndim);
    const index_t outer = count(logits, 0, axis);
    Array class_weight;
    call.read_optional_floats(class_weight, class_weight_);
    if (class_weight.present()) call.expect_shape(class_weight, Shape().add(classes));
    if (!sample_weight_.is_none() && axis == 0)
        call.value_error("sample_weight needs a batch axis before the class axis, but axis is 0");
    common.read_sample_weight(call, logits, sample_weight_);
    Array labels;
    read_labels(call, labels, labels_, logits, axis);
    read_ignore_label(call, common, labels, ignore_label_);
    common.count_positions(call, logits, outer * inner, outer);
    const Array dlogits(call, out, Shape(logits));
    call.check_overlap(dlogits, {}, &logits);
    call.check_overlap(dlogits, {&labels, &class_weight, &common.sample_weight});
    Losses losses(dlogits);
    if (logits.size > 0)
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const auto logit_rows = rows<T>(call, logits, axis);
            const auto class_weights = contiguous<T>(call, class_weight);
            const auto weights = common.weights<T>(call);
            const auto gradient = dlogits.pointer<T>();
            const double work = work_of_exponential * double(logits.size);
            const auto compute = [&](auto targets) {
                const Run then = call.run(work, [=](Run& run) {
                    const ops::ClassOptions<T> options{class_weights(run), T(smoothing)};
                    run.number = ops::softmax_cross_entropy(logit_rows(run), inner, targets(run), options, weights(run),
                                                            gradient(run));
                });
                losses.set(then.number);
            };
            if (is_integer(labels)) {
                if (!labels.plain()) call.copy(labels);
                const auto indices = integers(labels);
                check_indices(call, labels_of_logits, indices, common, without_axis(logits, axis), classes);
                compute(indices);
            } else {
                compute(rows<T>(call, labels, axis));
            }
        });
    return losses.take();
}

// A loss whose positions are the elements; out may be the prediction. f(weights, gradient, predictions, targets).
template <class Function>
py::object elementwise(Call& call, Common& common, Array& prediction, Array& target, Argument sample_weight,
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
    Common common;
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
py::object elements_of_columns(Call& call, Common& common, Array& prediction, Argument target_, Argument columns_,
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
    Common common;
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

void bind_losses(py::handle m) {
    define<&softmax_cross_entropy>(
        m,
        "softmax_cross_entropy(logits, labels, *, axis=-1, class_weight=None, sample_weight=None, label_smoothing=0.0, "
        "ignore_label=None, normalization='valid', out=None)");
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
