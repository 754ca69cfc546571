// What the bindings of the losses share.
#pragma once

#include <cmath>
#include <limits>

#include "bindings/integers.h"

namespace relu_layers::bindings {

// The first bad entry, which find(run) gives, -1 for none. Before anything is written: now, or, while a program is being
// recorded, before each of its runs, which refuses to go on.
template <class Find>
index_t first_bad(Call& call, Find find) {
    if (call.recorder() == nullptr) return find(Run());
    call.recorder()->add_check([=](Run& run) { run.refused = run.refused || find(run) >= 0; });
    return -1;
}

// Of a loss: the mean's divisor, the weights of the samples and the label that does not count.
struct LossOptions {
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
            call.value_error(
                "%s has shape %s, and there is no mean over nothing: pass at least one row, or normalization='none'",
                prediction.name, text_of(prediction).c_str());
        if (prediction.ndim > 0 && prediction.shape[0] > 0) positions_per_sample = positions / prediction.shape[0];
    }
    void read_sample_weight(Call& call, const Array& prediction, Argument value) {
        call.read_optional_floats(sample_weight, value);
        if (!sample_weight.present()) return;
        if (prediction.ndim == 0)
            call.value_error("sample_weight needs a batch axis, but %s has shape ()", prediction.name);
        call.expect_shape(sample_weight, Shape(prediction, 1));
    }
    // The weights as an operand. Each of them is checked before anything is written.
    template <class T>
    auto of(Call& call) {
        const Placed<const T*> samples = AsNumbers{sample_weight}.of<T>(call);
        if (sample_weight.present()) check_weights(call, samples);
        const ops::LossWeights<T> plain{nullptr,    positions_per_sample, normalization, batch_size,
                                        has_ignore, ignore_label,         ignore_value};
        return [=](const Run& run) {
            ops::LossWeights<T> weights = plain;
            weights.sample_weight = samples(run);
            return weights;
        };
    }
    // The loss and its gradient, for which `out` may be the prediction but none of `others`, computed by
    // function(operands..., weights, gradient).
    template <class Function, class... Operand>
    py::object finish(Call& call, const Array& prediction, Argument out, std::initializer_list<const Array*> others,
                      double work, Function function, Operand&&... operands) {
        const Array gradient(call, out, Shape(prediction));
        call.check_overlap(gradient, {}, &prediction);
        call.check_overlap(gradient, others);
        if (sample_weight.present()) call.check_overlap(gradient, {&sample_weight});
        // Made before the run that computes them.
        py::object gradients = result(gradient);
        Number loss;
        Results results(2);
        const auto body = [=](Run& run, auto weights, auto* to, auto... given) {
            run.number = function(given..., weights, to);
        };
        if (positions > 0)
            loss.set(
                compute(call, work * double(prediction.size), body, ThisRun(), *this, Written{gradient}, operands...)
                    .number);
        return results.add(loss.take()).add(std::move(gradients)).take();
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
        call.value_error("sample_weight[%zd] is %R%s", bad, number.ptr(), expected);
    }
};

// Integers that name one of several: what they are called, and what there are several of.
struct IndexNames {
    const char* name;
    const char* where;
    const char* several;
    const char* one;
};
constexpr IndexNames labels_of_logits = {"labels", "logits have", "classes", "label"};
constexpr IndexNames columns_of_prediction = {"columns", "prediction has", "columns", "column"};

// Such integers as an operand. One out of range is an IndexError that names the first.
struct Indices {
    const IndexNames& names;
    Array& array;
    const LossOptions& options;
    index_t many;

    template <class T>
    Placed<ops::Labels> of(Call& call) const {
        const Placed<ops::Labels> labels = AsIntegers{array}.of<T>(call);
        check(call, labels);
        return labels;
    }

  private:
    void check(Call& call, const Placed<ops::Labels>& labels) const;
};

}  // namespace relu_layers::bindings
