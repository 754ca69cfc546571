// The loss of classes, and labels: they are checked in full before anything is written.
#include "bindings/bindings.h"
#include "bindings/losses.h"

namespace relu_layers::bindings {
namespace {

int class_axis_of_logits(Call& call, const Array& logits, Argument axis_) {
    const int axis = class_axis(call, logits, axis_);
    if (logits.shape[axis] == 0)
        call.value_error("logits has shape %s with no class on axis %d", text_of(logits).c_str(), axis);
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
    if (!labels.is_integer()) call.value_error("ignore_label needs integer labels, but labels holds probabilities");
    const py::int_ number = call.index(value);
    const bool full_words = labels.item_bytes == 8 && !labels.is_signed();
    int overflow = 0;
    common.numbers.ignore_label = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    common.numbers.has_ignore = overflow == 0 && !(full_words && common.numbers.ignore_label < 0);
    if (overflow > 0 && full_words) {
        const unsigned long long bits = PyLong_AsUnsignedLongLong(number.ptr());
        common.numbers.has_ignore = PyErr_Occurred() == nullptr;
        PyErr_Clear();
        common.numbers.ignore_label = static_cast<std::int64_t>(bits);  // as ops::Labels reads such a word
    }
}

// Integers of the logits' shape without the class axis, or probabilities of the logits' own shape and type.
void read_labels(Call& call, Array& labels, Argument labels_, const Array& logits, int axis) {
    call.read(labels, labels_);
    const Shape classless = without_axis(logits, axis);
    if (labels.is_integer()) {
        if (labels.same_shape(classless.ndim, classless.dims)) return;
        const std::string advice =
            labels.same_shape(logits.ndim, logits.shape)
                ? ": where labels are one-hot, pass labels.argmax(axis=" + std::to_string(axis) + ")"
                : reshaped(labels, classless);
        call.value_error("labels has shape %s, expected %s, the shape of logits without axis %d%s",
                         text_of(labels).c_str(), text_of(classless).c_str(), axis, advice.c_str());
    }
    if (labels.type == bool_type || labels.same_shape(classless.ndim, classless.dims))
        call.type_error(
            "labels has dtype %S, expected integers, or probabilities of the shape of logits: pass "
            "labels.astype(np.int64)",
            dtype(labels));
    call.expect_floats(labels);
    call.expect_shape(labels, Shape(logits));
}

// The weights of the classes and the smoothing as an operand.
struct ClassNumbers {
    Array& weight;
    double smoothing;

    struct View {
        AsNumbers::View weights;
        double smoothing;

        template <class T>
        ops::ClassOptions<T> at(const Run& run) const {
            return {weights.at<T>(run), T(smoothing)};
        }
    };
    View of(Call& call) const { return {AsNumbers{weight}.of(call), smoothing}; }
};

py::object softmax_cross_entropy(Call& call, Argument logits_, Argument labels_, Argument axis_, Argument class_weight_,
                                 Argument sample_weight_, Argument label_smoothing_, Argument ignore_label_,
                                 Argument normalization_, Argument out) {
    const double smoothing = call.number(label_smoothing_);
    call.expect(smoothing >= 0 && smoothing <= 1, label_smoothing_, "0 <= label_smoothing <= 1");
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
    const auto finish = [&](auto targets) {
        return common.finish(call, logits, out, {&labels, &class_weight}, work_of_exponential,
                             RELU_LAYERS_OP(softmax_cross_entropy), AsRows{logits, axis}, Same{inner}, targets,
                             ClassNumbers{class_weight, smoothing});
    };
    if (labels.is_integer()) return finish(Indices{labels_of_logits, labels, common, classes});
    return finish(AsRows{labels, axis});
}

}  // namespace

void bind_class_losses(py::handle m) {
    define<&softmax_cross_entropy>(
        m,
        "softmax_cross_entropy(logits, labels, *, axis=-1, class_weight=None, sample_weight=None, label_smoothing=0.0, "
        "ignore_label=None, normalization='valid', out=None)");
}

}  // namespace relu_layers::bindings
