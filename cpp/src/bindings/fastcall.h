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

// An argument as the parameter's type takes it.
template <class T>
decltype(auto) from_python(PyObject* value) {
    if constexpr (std::is_same_v<T, py::handle>) {
        return py::handle(value);
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
    } else {
        return object_of<std::remove_reference_t<T>>(value);
    }
}

// --- calls ---

template <auto function, bool is_method>
struct FastCall;

// Calls the function with one value for each parameter, and gives its result as a new reference.
template <auto function, class Result, class... Parameters>
struct Invocation {
    static constexpr std::size_t size = sizeof...(Parameters);
    static inline Signature signature;

    template <class... Receiver>
    static PyObject* invoke(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords, Receiver&... receiver) {
        PyObject* values[size + 1];
        if (!signature.take(arguments, count, keywords, values)) return nullptr;
        return translated([&] { return spread(values, std::index_sequence_for<Parameters...>(), receiver...); });
    }

  private:
    template <std::size_t... i, class... Receiver>
    static PyObject* spread([[maybe_unused]] PyObject* const* values, std::index_sequence<i...>,
                            Receiver&... receiver) {
        if constexpr (std::is_void_v<Result>) {
            std::invoke(function, receiver..., from_python<Parameters>(values[i])...);
            Py_RETURN_NONE;
        } else {
            return to_python(std::invoke(function, receiver..., from_python<Parameters>(values[i])...));
        }
    }
};

template <class Result, class... Parameters, Result (*function)(Parameters...)>
struct FastCall<function, false> : Invocation<function, Result, Parameters...> {
    static PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
        return FastCall::invoke(arguments, count, keywords);
    }
};

template <auto function, class Self, class Result, class... Parameters>
struct MethodCall : Invocation<function, Result, Parameters...> {
    static PyObject* call(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
        return MethodCall::invoke(arguments, count, keywords, reinterpret_cast<Object<Self>*>(self)->value);
    }
};

template <class Result, class Self, class... Parameters, Result (Self::*function)(Parameters...)>
struct FastCall<function, true> : MethodCall<function, Self, Result, Parameters...> {};

template <class Result, class Self, class... Parameters, Result (Self::*function)(Parameters...) const>
struct FastCall<function, true> : MethodCall<function, Self, Result, Parameters...> {};

template <class Call>
PyMethodDef definition(const char* signature, const char* receiver) {
    Call::signature.parse(signature, receiver);
    if (Call::signature.size() != Call::size) throw std::logic_error(std::string("parameters differ: ") + signature);
    return {Call::signature.name(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Call::call)),
            METH_FASTCALL | METH_KEYWORDS, Call::signature.documentation()};
}

// Adds a function to the module.
template <auto function>
void define(py::module_& m, const char* signature) {
    using Call = FastCall<function, false>;
    static PyMethodDef made = definition<Call>(signature, "");
    const py::object module_name = owned(PyModule_GetNameObject(m.ptr()));
    m.add_object(Call::signature.name(), owned(PyCFunction_NewEx(&made, nullptr, module_name.ptr())));
}

// A method, for the table of define_type().
template <auto function>
PyMethodDef method(const char* signature) {
    return definition<FastCall<function, true>>(signature, "$self");
}

}  // namespace relu_layers::bindings
