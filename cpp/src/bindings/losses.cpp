#include "bindings/losses.h"

#include <cmath>
#include <limits>

namespace relu_layers::bindings {
namespace {

// The first bad entry, which find(run) gives, -1 for none. Before anything is written: now, or, while a program is being
// recorded, before each of its runs, which refuses to go on.
template <class Find>
index_t first_bad(Call& call, Find find) {
    if (call.recorder() == nullptr) return find(Run());
    call.recorder()->add_check(replay::Body([=](Run& run) { run.refused = run.refused || find(run) >= 0; }));
    return -1;
}

}  // namespace

void LossOptions::count_positions(Call& call, const Array& prediction, index_t number, index_t leading) {
    positions = number;
    numbers.batch_size = leading > 0 ? leading : 1;
    if (positions == 0 && numbers.normalization != Normalization::none)
        call.value_error(
            "%s has shape %s, and there is no mean over nothing: pass at least one row, or normalization='none'",
            prediction.name, text_of(prediction).c_str());
    if (prediction.ndim > 0 && prediction.shape[0] > 0) numbers.positions_per_sample = positions / prediction.shape[0];
}

void LossOptions::read_sample_weight(Call& call, const Array& prediction, Argument value) {
    call.read_optional_floats(sample_weight, value);
    if (!sample_weight.present()) return;
    if (prediction.ndim == 0)
        call.value_error("sample_weight needs a batch axis, but %s has shape ()", prediction.name);
    call.expect_shape(sample_weight, Shape(prediction, 1));
}

// Finite, and not below 0 where a mean divides by their sum: that could be as small as you like.
LossOptions::View LossOptions::of(Call& call) {
    const AsNumbers::View samples = AsNumbers{sample_weight}.of(call);
    if (sample_weight.present())
        for_type(call, [&]<class T>(T) {
            const index_t n = sample_weight.size;
            const T largest = std::numeric_limits<T>::max();
            const T lowest = numbers.normalization == Normalization::valid ? T(0) : -largest;
            const index_t bad = first_bad(call, [=](const Run& run) {
                const T* weights = samples.at<T>(run);
                index_t i = 0;
                while (i < n && weights[i] >= lowest && weights[i] <= largest) ++i;
                return i < n ? i : -1;
            });
            if (bad < 0) return;
            const double value = samples.at<T>(Run())[bad];
            const char* const expected =
                std::isfinite(value)
                    ? ", but the loss is divided by the sum of the weights: expected at least 0, or a normalization "
                      "that divides by a number of rows ('full', 'batch_size', 'none')"
                    : ", expected finite numbers";
            call.value_error("sample_weight[%zd] is %R%s", bad, owned(PyFloat_FromDouble(value)).ptr(), expected);
        });
    return {samples, numbers};
}

AsIntegers::View Indices::of(Call& call) const {
    const AsIntegers::View labels = AsIntegers{array}.of(call);
    const index_t bad =
        first_bad(call, [=, has_ignore = options.numbers.has_ignore, classes = many,
                         ignored = options.numbers.ignore_label, positions = options.positions](const Run& run) {
            return ops::find_bad_label(labels.at(run), positions, classes, has_ignore, ignored);
        });
    if (bad < 0) return labels;
    std::string place;
    index_t position = bad;
    for (int i = array.ndim - 1; i >= 0; --i) {
        place = std::to_string(position % array.shape[i]) + (place.empty() ? "" : ", ") + place;
        position /= array.shape[i];
    }
    if (array.ndim > 0) place = "[" + place + "]";
    const std::int64_t label = labels.at(Run())[bad];
    const std::string value =
        labels.is_signed ? std::to_string(label) : std::to_string(static_cast<std::uint64_t>(label));
    call.error(PyExc_IndexError, "%s%s is %s but %s %zd %s: expected 0 <= %s < %zd", names.name, place.c_str(),
               value.c_str(), names.where, many, names.several, names.one, many);
}

}  // namespace relu_layers::bindings
