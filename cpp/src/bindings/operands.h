// What an op is computed from, and the call of it: operands become views for the element type of the call once every
// array is checked. operand.of<T>(call) is a function of the run that gives what the op takes.
#pragma once

#include <tuple>
#include <utility>

#include "bindings/layout.h"

namespace relu_layers::bindings {

// An input in rows of the axes [split, ndim).
struct AsRows {
    Array& array;
    int split;

    // Copies the array first where it must.
    template <class T>
    Placed<Rows<const T>> of(Call& call) const {
        if (!row_contiguous(array, split)) call.copy(array);
        index_t stride = 0;
        const index_t n = count(array, 0, split);
        const index_t cols = count(array, split, array.ndim);
        if (array.plain()) return array.placed(Rows<const T>{array.as<const T>(), n, cols, cols});
        single_stride(array, 0, split, stride);
        return array.placed(Rows<const T>{array.as<const T>(), n, cols, stride / array.item_bytes});
    }
};

// An input as a matrix: all axes before the last, and the last. Copies the array where the axes before have no single
// stride or where the elements are misaligned.
struct AsMatrix {
    Array& array;

    template <class T>
    Placed<Matrix<const T>> of(Call& call) const {
        const int last = array.ndim - 1;
        index_t row_stride = 0;
        const bool readable = array.aligned() && single_stride(array, 0, last, row_stride) &&
                              row_stride % array.item_bytes == 0 &&
                              (array.shape[last] <= 1 || array.strides[last] % array.item_bytes == 0);
        if (!readable) {
            call.copy(array);
            single_stride(array, 0, last, row_stride);
        }
        return array.placed(Matrix<const T>{array.as<const T>(), count(array, 0, last), array.shape[last],
                                            row_stride / array.item_bytes, array.strides[last] / array.item_bytes});
    }
};

// An input as one run of numbers, nullptr for an absent one.
struct AsNumbers {
    Array& array;

    // Copies the array where it must.
    template <class T>
    Placed<const T*> of(Call& call) const {
        if (array.present() && !array.plain()) call.copy(array);
        return array.pointer<const T>();
    }
};

// An array that is written, nullptr for an absent one.
struct Written {
    const Array& array;

    template <class T>
    auto of(Call&) const {
        return array.pointer<T>();
    }
};

// What is the same in every run, whatever the element type.
template <class Value>
struct Same {
    Value value;

    template <class T>
    auto of(Call&) const {
        return *this;
    }
    const Value& operator()(const Run&) const { return value; }
};
template <class Value>
Same(Value) -> Same<Value>;  // Clang 14 deduces none for an aggregate

// The run itself, for what it adds to a number, or for the op's result.
struct ThisRun {
    template <class T>
    auto of(Call&) const {
        return *this;
    }
    Run& operator()(Run& run) const { return run; }
};

// A number, which the op takes as one of its element type.
struct Real : Argument {
    double number = 0;

    void read(Call& call) { number = call.number(*this); }
    template <class T>
    auto of(Call&) const {
        return Same<T>{T(number)};
    }
};

// A number that stays of double precision.
struct Wide : Real {
    template <class T>
    auto of(Call&) const {
        return Same<double>{number};
    }
};

// True or False.
struct Switch : Argument {
    bool on = false;

    void read(Call& call) { on = call.flag(*this); }
    template <class T>
    auto of(Call&) const {
        return Same<bool>{on};
    }
};

// Runs function(operands...), or records it, and returns the run with its result. Operands are made in their order, as
// checks in them have to be.
template <class Function, class... Operand>
Run compute(Call& call, double work, Function function, Operand&&... operands) {
    return for_type(call, [&](auto element) {
        return call.run(work,
                        [function, views = std::tuple{operands.template of<decltype(element)>(call)...}](Run& run) {
                            std::apply([&](const auto&... view) { function(view(run)...); }, views);
                        });
    });
}

// The op of either element type, as an argument of a template.
#define RELU_LAYERS_OP(name) [](const auto&... arguments) { return ops::name(arguments...); }

}  // namespace relu_layers::bindings
