// What an op is computed from, and the call of it: once every array is checked, operand.of(call) is a view, and
// view.at<T>(run) what the op takes in a run for elements of type T. What needs no array is a view itself.
#pragma once

#include <tuple>

#include "bindings/call.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {

// --- how arrays of any layout lie in memory ---

// The number of elements of axes [begin, end).
index_t count(const Array& array, int begin, int end);

// Whether axes [begin, end) are one axis in memory with a single stride (in bytes), which is stored. An axis group of
// at most one element has stride 0.
bool single_stride(const Array& array, int begin, int end, index_t& stride);

// The first axis of the rows in which all arrays, of one shape, can be read together; copies those that cannot.
int common_split(Call& call, std::initializer_list<Array*> arrays);

// The axis that holds the classes, counted from the front.
int class_axis(Call& call, const Array& array, Argument axis);

// --- arrays ---

// An input that the op reads as one run of numbers, of any shape: C-contiguous, else a ValueError.
void read_contiguous(Call& call, Array& array, Argument given);

// An input in rows of the axes [split, ndim). Copies the array first where it must.
struct AsRows {
    Array& array;
    int split;

    struct View {
        Place place;
        index_t rows, cols, stride;

        template <class T>
        Rows<const T> at(const Run& run) const {
            return {place.in<const T>(run), rows, cols, stride};
        }
    };
    View of(Call& call) const;
};

// An input as a matrix: all axes before the last, and the last. Copies the array where the axes before have no single
// stride or where the elements are misaligned.
struct AsMatrix {
    Array& array;

    struct View {
        Place place;
        index_t rows, cols, row_stride, col_stride;

        template <class T>
        Matrix<const T> at(const Run& run) const {
            return {place.in<const T>(run), rows, cols, row_stride, col_stride};
        }
    };
    View of(Call& call) const;
};

// An input as one run of numbers, nullptr for an absent one. Copies the array where it must.
struct AsNumbers {
    Array& array;

    struct View {
        Place place;

        template <class T>
        const T* at(const Run& run) const {
            return place.in<const T>(run);
        }
    };
    View of(Call& call) const {
        if (array.present() && !array.plain()) call.copy(array);
        return {array.place()};
    }
};

// Integers of any width, expected of the argument.
void read_integers(Call& call, Array& array, Argument given);

// Such an array. Copies it where it must.
struct AsIntegers {
    Array& array;

    struct View {
        Place place;
        int item_bytes;
        bool is_signed;

        template <class T = void>
        ops::Labels at(const Run& run) const {
            return {place.in<const void>(run), item_bytes, is_signed};
        }
    };
    View of(Call& call) const {
        if (!array.plain()) call.copy(array);
        return {array.place(), static_cast<int>(array.item_bytes), array.is_signed()};
    }
};

// An array that is written, nullptr for an absent one.
struct Written {
    const Array& array;

    struct View {
        Place place;

        template <class T>
        T* at(const Run& run) const {
            return place.in<T>(run);
        }
    };
    View of(Call&) const { return {array.place()}; }
};

// --- views without an array ---

// What is the same in every run, whatever the element type.
template <class Value>
struct Same {
    Value value;

    template <class T>
    const Value& at(const Run&) const {
        return value;
    }
};
template <class Value>
Same(Value) -> Same<Value>;  // Clang 14 deduces none for an aggregate

// The run itself, for what it adds to a number, or for the op's result.
struct ThisRun {
    template <class T>
    Run& at(Run& run) const {
        return run;
    }
};

// A number, which the op takes as one of its element type.
struct Real : Argument {
    double number = 0;

    void read(Call& call) { number = call.number(*this); }
    template <class T>
    T at(const Run&) const {
        return T(number);
    }
};

// A number that stays of double precision.
struct Wide : Real {
    template <class T>
    double at(const Run&) const {
        return number;
    }
};

// True or False.
struct Switch : Argument {
    bool on = false;

    void read(Call& call) { on = call.flag(*this); }
    template <class T>
    bool at(const Run&) const {
        return on;
    }
};

// --- calls ---

// Runs function(operands...), or records it, and returns the run with its result. Views are made in the order of the
// operands, as checks in them have to be.
template <class Function, class... Operand>
Run compute(Call& call, double work, Function function, Operand&&... operands) {
    const auto view = [&](auto& operand) {
        if constexpr (requires { operand.of(call); }) return operand.of(call);
        else return operand;
    };
    const std::tuple state{function, view(operands)...};
    using State = std::remove_const_t<decltype(state)>;
    const auto of_type = [](auto element) -> replay::Code {
        return [](const void* kept, Run& run) {
            std::apply([&](const auto& op, const auto&... views) { op(views.template at<decltype(element)>(run)...); },
                       *static_cast<const State*>(kept));
        };
    };
    return call.run(work, state, {of_type(float()), of_type(double())});
}

// The op of either element type, as an argument of a template.
#define RELU_LAYERS_OP(name) [](const auto&... arguments) { return ops::name(arguments...); }

}  // namespace relu_layers::bindings
