// What the bindings of the losses share.
#pragma once

#include "bindings/operands.h"

namespace relu_layers::bindings {

// Of a loss: the mean's divisor, the weights of the samples and the label that does not count.
struct LossOptions {
    Array sample_weight;
    ops::LossWeights<void> numbers;
    index_t positions = 1;

    void read_normalization(Call& call, Argument value) {
        constexpr Normalization all[] = {Normalization::valid, Normalization::full, Normalization::batch_size,
                                         Normalization::none};
        numbers.normalization = all[call.choice(value, {"valid", "full", "batch_size", "none"})];
    }
    // `leading` is what Normalization::batch_size divides by.
    void count_positions(Call& call, const Array& prediction, index_t number, index_t leading);
    void read_sample_weight(Call& call, const Array& prediction, Argument value);

    struct View {
        AsNumbers::View samples;
        ops::LossWeights<void> numbers;

        template <class T>
        ops::LossWeights<T> at(const Run& run) const {
            return {samples.at<T>(run), numbers.positions_per_sample, numbers.normalization, numbers.batch_size,
                    numbers.has_ignore, numbers.ignore_label,         numbers.ignore_value};
        }
    };
    // The weights as an operand. Each of them is checked before anything is written.
    View of(Call& call);

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
        const auto body = [function](Run& run, auto weights, auto* to, const auto&... given) {
            run.number = function(given..., weights, to);
        };
        if (positions > 0)
            loss.set(
                compute(call, work * double(prediction.size), body, ThisRun(), *this, Written{gradient}, operands...)
                    .number);
        return results.add(loss.take()).add(std::move(gradients)).take();
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

    AsIntegers::View of(Call& call) const;
};

}  // namespace relu_layers::bindings
