// The loss of classes, and labels: they are checked in full before anything is written.
#include "bindings/bindings.h"
#include "bindings/losses.h"

namespace relu_layers::bindings {
namespace {

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
void read_ignore_label(Call& call, LossOptions& common, const Array& labels, Argument value) {
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
    LossOptions common;
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

}  // namespace

void check_indices(Call& call, const Indices& kind, const Placed<ops::Labels>& labels, const LossOptions& common,
                   const Shape& shape, index_t classes) {
    const bool has_ignore = common.has_ignore;
    const std::int64_t ignored = common.ignore_label;
    const index_t positions = common.positions;
    const index_t bad = first_bad(call, [=](const Run& run) {
        return ops::find_bad_label(labels(run), positions, classes, has_ignore, ignored);
    });
    if (bad >= 0) bad_index(call, kind, labels.view, shape, bad, classes);
}

void bind_class_losses(py::handle m) {
    define<&softmax_cross_entropy>(
        m,
        "softmax_cross_entropy(logits, labels, *, axis=-1, class_weight=None, sample_weight=None, label_smoothing=0.0, "
        "ignore_label=None, normalization='valid', out=None)");
}

}  // namespace relu_layers::bindings
