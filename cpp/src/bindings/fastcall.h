// Functions of the extension and methods of its types: called through the interpreter's vector of arguments, at less
// than half the price of pybind11's dispatch. Names, defaults and the text of the signature come from one string.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "bindings/signature.h"

namespace relu_layers::bindings {

// --- results: new references ---

inline PyObject* to_python(py::object value) { return value.release().ptr(); }
inline PyObject* to_python(double value) { return PyFloat_FromDouble(value); }
inline PyObject* to_python(bool value) { return PyBool_FromLong(value); }
inline PyObject* to_python(int value) { return PyLong_FromLong(value); }
inline PyObject* to_python(index_t value) { return PyLong_FromSsize_t(value); }
inline PyObject* to_python(const char* value) { return PyUnicode_FromString(value); }

// --- arguments ---

template <class T>
struct Object {
    PyObject_HEAD T value;
    static inline PyTypeObject* type = nullptr;
};

// The C++ object of a Python object, checked.
template <class T>
T& object_of(py::handle value) {
    PyTypeObject* const type = Object<T>::type;
    if (Py_TYPE(value.ptr()) != type)
        throw py::type_error(std::string("expected a ") + type->tp_name + ", got " + Py_TYPE(value.ptr())->tp_name);
    return reinterpret_cast<Object<T>*>(value.ptr())->value;
}

// A reference to an object of the extension that keeps it alive.
template <class T>
class Reference {
  public:
    Reference() {}
    explicit Reference(py::handle object) : object_(borrowed(object)), value_(&object_of<T>(object)) {}

    const py::object& object() const { return object_; }
    explicit operator bool() const { return value_ != nullptr; }
    T* operator->() const { return value_; }
    T& operator*() const { return *value_; }

  private:
    py::object object_;
    T* value_ = nullptr;
};

// An argument with the name of its parameter, for messages. Types derived from it say what a parameter takes.
struct Argument {
    const char* name;
    PyObject* value;

    bool is_none() const { return value == Py_None; }
};

// An argument as the parameter's type takes it.
template <class T>
decltype(auto) from_python(PyObject* value) {
    if constexpr (std::is_same_v<T, py::object>) {
        return borrowed(value);
    } else if constexpr (std::is_same_v<T, bool>) {
        const int truth = PyObject_IsTrue(value);
        if (truth < 0) throw Raised();
        return truth != 0;
    } else if constexpr (std::is_same_v<T, double>) {
        const double number = PyFloat_AsDouble(value);
        if (number == -1.0 && PyErr_Occurred() != nullptr) throw Raised();
        return number;
    } else if constexpr (std::is_same_v<T, const char*>) {
        const char* text = PyUnicode_AsUTF8(value);
        if (text == nullptr) throw Raised();
        return text;
    } else if constexpr (std::is_integral_v<T>) {
        const Py_ssize_t number = PyNumber_AsSsize_t(value, PyExc_OverflowError);
        if (number == -1 && PyErr_Occurred() != nullptr) throw Raised();
        return static_cast<T>(number);
    } else if constexpr (std::is_reference_v<T>) {
        return object_of<std::remove_cvref_t<T>>(value);
    } else {
        return T(py::handle(value));
    }
}

// --- calls ---

constexpr std::size_t most_parameters = 16;

// Makes the result of a call, a new reference, from one value for each parameter.
using Code = PyObject* (*)(void* receiver, PyObject* const* values);

PyObject* invoke(const Signature& signature, Code code, void* receiver, PyObject* const* arguments, Py_ssize_t count,
                 PyObject* keywords) noexcept;

// A function whose first parameter is the receiver (none where that is void), with the Python values of the others.
template <auto function, class Receiver, class Result, class... Parameters>
struct Invocation {
    static constexpr std::size_t size = sizeof...(Parameters);
    static_assert(size <= most_parameters);
    // Made when the function is defined; lives as long as the process.
    static inline const Signature* signature = nullptr;

    static PyObject* run(void* receiver, PyObject* const* values) {
        if constexpr (std::is_void_v<Receiver>) return spread(values, std::index_sequence_for<Parameters...>());
        else return spread(values, std::index_sequence_for<Parameters...>(), *static_cast<Receiver*>(receiver));
    }

  private:
    template <class T>
    static decltype(auto) argument(PyObject* const* values, std::size_t i) {
        if constexpr (std::is_base_of_v<Argument, T>) return T{Argument{signature->parameter(i), values[i]}};
        else return from_python<T>(values[i]);
    }
    template <std::size_t... i, class... First>
    static PyObject* spread([[maybe_unused]] PyObject* const* values, std::index_sequence<i...>, First&... first) {
        if constexpr (std::is_void_v<Result>) {
            std::invoke(function, first..., argument<Parameters>(values, i)...);
            Py_RETURN_NONE;
        } else {
            return to_python(std::invoke(function, first..., argument<Parameters>(values, i)...));
        }
    }
};

template <auto function, class Type = decltype(function)>
struct FastCall;

template <auto function, class Result, class... Parameters>
struct FastCall<function, Result (*)(Parameters...)> : Invocation<function, void, Result, Parameters...> {
    static PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
        return invoke(*FastCall::signature, &FastCall::run, nullptr, arguments, count, keywords);
    }
};

template <auto function, class Self, class Result, class... Parameters>
struct MethodCall : Invocation<function, Self, Result, Parameters...> {
    static PyObject* call(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
        return invoke(*MethodCall::signature, &MethodCall::run, &reinterpret_cast<Object<Self>*>(self)->value,
                      arguments, count, keywords);
    }
};

template <auto function, class Result, class Self, class... Parameters>
struct FastCall<function, Result (Self::*)(Parameters...)> : MethodCall<function, Self, Result, Parameters...> {};

template <auto function, class Result, class Self, class... Parameters>
struct FastCall<function, Result (Self::*)(Parameters...) const> : MethodCall<function, Self, Result, Parameters...> {};

template <class Called>
PyMethodDef definition(const char* signature, const char* receiver) {
    Called::signature = new Signature(signature, receiver, Called::size);
    return {Called::signature->name(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Called::call)),
            METH_FASTCALL | METH_KEYWORDS, Called::signature->documentation()};
}

// Adds a function to the module.
void define(py::handle m, PyMethodDef definition);
template <auto function>
void define(py::handle m, const char* signature) {
    define(m, definition<FastCall<function>>(signature, ""));
}

// A method, for the table of define_type().
template <auto function>
PyMethodDef method(const char* signature) {
    return definition<FastCall<function>>(signature, "$self");
}

}  // namespace relu_layers::bindings
