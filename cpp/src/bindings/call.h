// One call of an op from Python: the arrays it was given, seen through the ndarray's own struct, and the order of
// things that keeps the call safe. Everything is checked, copied and allocated before the first write; whatever may let
// other Python code run (a conversion, a copy by NumPy, the release of the GIL) comes after protect().
#pragma once

#include <array>
#include <initializer_list>
#include <string>

#include "bindings/capture.h"
#include "bindings/fastcall.h"
#include "relu_layers/types.h"

namespace relu_layers::bindings {

constexpr int work_of_exponential = 4;
constexpr double work_of_multiply_add = 2.5;

class Call;
struct Shape;

// What an ndarray's struct said when the call looked at it. Shape and strides (in bytes) are copies, because another
// thread may reshape the array while the call runs.
struct Array {
    const char* name = "";
    PyObject* object = nullptr;  // the ndarray; nullptr for an optional argument that was None
    py::object owned;            // keeps `object` alive where it is not the caller's own
    char* data = nullptr;
    int type = no_type;
    index_t item_bytes = 0;
    int ndim = 0;
    int flags = 0;
    index_t size = 0;
    bool fresh = false;  // allocated by this call: nothing else can overlap it
    Slot slot = Slot::fixed;
    index_t shape[max_ndim];
    index_t strides[max_ndim];

    Array() {}  // leaves shape and strides as they are: 1 KiB that most calls never touch
    // An input of the call, float32 or float64.
    Array(Call& call, Argument given);
    // An output of the call.
    Array(Call& call, Argument given, const Shape& shape);
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    bool present() const { return object != nullptr; }
    bool contiguous() const { return (flags & contiguous_flag) != 0; }
    bool aligned() const { return (flags & aligned_flag) != 0; }
    bool writable() const { return (flags & writable_flag) != 0; }
    bool is_integer() const { return type >= first_integer_type && type <= last_integer_type; }
    // NumPy numbers its integers signed, unsigned, signed, ... from int8 on.
    bool is_signed() const { return (type - first_integer_type) % 2 == 0; }
    // Readable by a pointer.
    bool plain() const { return contiguous() && aligned(); }
    bool same_shape(int n, const index_t* dims) const {
        if (ndim != n) return false;
        for (int i = 0; i < n; ++i)
            if (shape[i] != dims[i]) return false;
        return true;
    }
    Place place() const { return {data, slot}; }
};

// The shape of a result.
struct Shape {
    int ndim = 0;
    index_t dims[max_ndim];

    Shape() {}
    explicit Shape(const Array& like, int axes) : ndim(axes) {
        for (int i = 0; i < axes; ++i) dims[i] = like.shape[i];
    }
    explicit Shape(const Array& like) : Shape(like, like.ndim) {}
    Shape& add(index_t n) {
        dims[ndim++] = n;
        return *this;
    }
};

// "(3, 4)", as Python writes a tuple.
std::string text_of(const index_t* dims, int ndim);
inline std::string text_of(const Array& array) { return text_of(array.shape, array.ndim); }
inline std::string text_of(const Shape& shape) { return text_of(shape.dims, shape.ndim); }

// Gives the GIL up and takes it back.
class ReleasedGil {
  public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ~ReleasedGil();
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;

  private:
    PyThreadState* state_;
};

// Runs the body, without the GIL if it says so, and returns its result.
template <class Body>
auto run_released(bool released, Body&& body) {
    if (!released) return body();
    const ReleasedGil gil;
    return body();
}

// Keeps arrays, and the arrays they are views of, from being resized: NumPy refuses to while a weak reference exists.
class ResizeLock {
  public:
    ResizeLock() {}
    ~ResizeLock() { Py_CLEAR(references_); }
    ResizeLock(const ResizeLock&) = delete;
    ResizeLock& operator=(const ResizeLock&) = delete;
    // What is no array is left alone.
    void add(PyObject* array);
    explicit operator bool() const { return references_ != nullptr; }

  private:
    PyObject* references_ = nullptr;  // a list, made when first needed
};

// What an op does to its state, for each type of its arrays.
struct Codes {
    replay::Code of_float;
    replay::Code of_double;
};

class Call {
  public:
    // Whether the values that an array has are overwritten, or changed.
    enum class Change { overwritten, in_place };

    explicit Call(const char* op) : op_(op), recorder_(Capture::current()) {}
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    const char* op() const { return op_; }
    // The type number that all float arrays of the call share; set by the first, no_type before.
    int type() const { return type_; }

    // Any ndarray or memmap in native byte order, or what DLPack makes one of.
    void read(Array& array, Argument given);
    // The same, float32 or float64, of the call's type.
    void read_floats(Array& array, Argument given);
    void read_optional_floats(Array& array, Argument given) {
        array.name = given.name;
        if (!given.is_none()) read_floats(array, given);
    }
    // An array to be written: strictly what is expected. None allocates it.
    void output(Array& array, Argument given, const Shape& shape);
    // The same where `needed` asks for it, else nothing, and then `given` is None.
    void optional_output(Array& array, Argument given, const Shape& shape, const char* asked_by, bool needed) {
        array.name = given.name;
        if (needed) output(array, given, shape);
        else if (!given.is_none()) value_error("%s is False, expected None as %s", asked_by, given.name);
    }
    // An array to be changed in place: strictly what is expected.
    void update(Array& array, Argument given, const Shape& shape, int type, Change change = Change::in_place);
    // The entries of `out` of an op with several results.
    template <std::size_t n>
    std::array<Argument, n> entries(Argument out) const {
        static constexpr const char* names[] = {"out[0]", "out[1]", "out[2]"};
        if (!out.is_none()) expect_entries(out, n);
        std::array<Argument, n> found;
        for (std::size_t i = 0; i < n; ++i)
            found[i] = {names[i], out.is_none() ? Py_None : PyTuple_GET_ITEM(out.value, static_cast<Py_ssize_t>(i))};
        return found;
    }

    // TypeError unless the array has the call's type.
    void expect_floats(const Array& array) const;
    void expect_shape(const Array& array, const Shape& shape) const;
    // "x has shape (3,), expected ...", where the shape does not hold what is expected.
    void expect_shape(bool holds, const Array& array, const char* expected) const {
        if (!holds) value_error("%s has shape %s, expected %s", array.name, text_of(array).c_str(), expected);
    }
    // "rate is 2, expected ...", likewise.
    void expect(bool holds, Argument given, const char* expected) const {
        if (!holds) value_error("%s is %R, expected %s", given.name, given.value, expected);
    }

    // ValueError unless `out` is separate from each of `reads`; `alias` may also be exactly `out`, and so may any array
    // that is exactly `alias`.
    void check_overlap(const Array& out, std::initializer_list<const Array*> reads, const Array* alias = nullptr);

    // Replaces the array by a C-contiguous, aligned copy of it.
    void copy(Array& array);

    // Keeps every caller's array seen so far from being resized.
    void protect();

    // Runs the code of the call's type on the state, without the GIL where the work is worth it, and returns the run
    // with its result. While a program is being recorded both are kept instead, so the state holds everything by value,
    // reaches memory through a Place, and touches nothing of Python.
    template <class State>
    Run run(double work, const State& state, Codes codes) {
        Run run;
        const replay::Code code = type_ == float32_type ? codes.of_float : codes.of_double;
        if (recorder_ != nullptr) recorder_->add(work, {state, code});
        else if (work <= work_worth_releasing) code(&state, run);
        else run_long(&state, code, run);
        return run;
    }
    // Not null while this thread records.
    Capture* recorder() const { return recorder_; }

    // Scalars. What is not a number is a TypeError that names the argument.
    double number(Argument given) {
        return PyFloat_CheckExact(given.value) ? PyFloat_AS_DOUBLE(given.value) : convert_number(given);
    }
    py::int_ index(Argument given);
    std::int64_t integer(Argument given);
    // 0 <= value < 2^64
    std::uint64_t word(Argument given);
    bool flag(Argument given);
    // The position of the text in `choices`.
    int choice(Argument given, std::initializer_list<const char*> choices);

    // The name of the op, and what PyUnicode_FromFormat() makes of the rest.
    [[noreturn]] void error(PyObject* type, const char* format, ...) const;
    template <class... Value>
    [[noreturn]] void type_error(const char* format, Value... values) const {
        error(PyExc_TypeError, format, values...);
    }
    template <class... Value>
    [[noreturn]] void value_error(const char* format, Value... values) const {
        error(PyExc_ValueError, format, values...);
    }

  private:
    static constexpr int max_arrays = 8;

    void look(Array& array, const char* name, PyObject* object);
    void expect_entries(Argument out, Py_ssize_t count) const;
    bool is_memmap(PyObject* value);
    void import(Array& array, Argument given);
    void expect_writable(const Array& array, Argument given, const Shape& shape, int type, Change change) const;
    void allocate(Array& array, const Shape& shape, int type);
    bool shares_memory(const Array& a, const Array& b);
    double convert_number(Argument given);
    void run_long(const void* state, replay::Code code, Run& run);

    const char* op_;
    Capture* recorder_;
    int type_ = no_type;
    const char* type_from_ = "";  // the argument that set the type
    PyObject* seen_[max_arrays];
    int seen_count_ = 0;
    int protected_count_ = 0;
    ResizeLock lock_;
};

// Advice to pass the array in another shape, empty where that has another number of elements.
std::string reshaped(const Array& array, const Shape& shape);
inline PyObject* dtype(const Array& array) { return struct_of(array.object)->descr; }

// Calls body(float()) or body(double()) for the type of the call's arrays.
template <class Body>
auto for_type(const Call& call, Body&& body) {
    return call.type() == float32_type ? body(float()) : body(double());
}

inline Array::Array(Call& call, Argument given) { call.read_floats(*this, given); }
inline Array::Array(Call& call, Argument given, const Shape& of) { call.output(*this, given, of); }

// The result of a call: the caller's own object, the new array, or None.
inline py::object result(const Array& array) { return array.present() ? borrowed(array.object) : py::none(); }

// An op: its first parameter is the call.
PyObject* invoke_op(const Signature& signature, Code code, PyObject* const* arguments, Py_ssize_t count,
                    PyObject* keywords) noexcept;
template <auto function, class Result, class... Parameters>
struct FastCall<function, Result (*)(Call&, Parameters...)> : Invocation<function, Call, Result, Parameters...> {
    static PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
        return invoke_op(*FastCall::signature, &FastCall::run, arguments, count, keywords);
    }
};

}  // namespace relu_layers::bindings
