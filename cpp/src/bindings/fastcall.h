// Functions of the extension that take positional arguments alone: called through the interpreter's vector of
// arguments, at less than half the price of pybind11's dispatch. Names, defaults and documentation are those of
// relu_layers.ops.native; what stands here is the signature, as in "relu_forward(x, negative_slope, out)".
#pragma once

#include <pybind11/pybind11.h>

#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace relu_layers::bindings {

namespace py = pybind11;

inline PyObject* to_python(py::object value) { return value.release().ptr(); }
inline PyObject* to_python(double value) { return PyFloat_FromDouble(value); }
inline PyObject* to_python(std::ptrdiff_t value) { return PyLong_FromSsize_t(value); }

// Runs the body and returns its result, a new reference; what it throws becomes a Python exception and nullptr.
template <class Body>
PyObject* translated(Body&& body) {
    try {
        return body();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

template <auto function>
struct FastCall;

template <class Result, class... Handles, Result (*function)(Handles...)>
struct FastCall<function> {
    static PyObject* call(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
        constexpr auto expected = static_cast<Py_ssize_t>(sizeof...(Handles));
        if (count != expected) {
            PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", expected, count);
            return nullptr;
        }
        return translated([=] { return spread(arguments, std::index_sequence_for<Handles...>()); });
    }

  private:
    template <std::size_t... i>
    static PyObject* spread(PyObject* const* arguments, std::index_sequence<i...>) {
        if constexpr (std::is_void_v<Result>) {
            function(py::handle(arguments[i])...);
            Py_RETURN_NONE;
        } else {
            return to_python(function(py::handle(arguments[i])...));
        }
    }
};

template <auto function>
void define(py::module_& m, const char* signature) {
    static const std::string text = signature;
    static const std::string name = text.substr(0, text.find('('));
    static PyMethodDef definition = {
        name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&FastCall<function>::call)),
        METH_FASTCALL, text.c_str()};
    const auto module_name = py::reinterpret_steal<py::object>(PyModule_GetNameObject(m.ptr()));
    auto made = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&definition, nullptr, module_name.ptr()));
    if (!made) throw py::error_already_set();
    m.add_object(name.c_str(), made);
}

}  // namespace relu_layers::bindings
