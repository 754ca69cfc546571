// What the bindings take from CPython and from pybind11's pytypes.h: its other headers cost every file seconds.
#pragma once

#include <pybind11/pytypes.h>

#include <string>
#include <utility>

#include "relu_layers/types.h"

namespace relu_layers::bindings {

namespace py = pybind11;

// Thrown where a call of the C API failed: Python's error indicator is set. Nothing is allocated, so it also carries a
// MemoryError.
struct Raised {};

// Takes over a new reference; nullptr is an error that Python has been informed of.
inline py::object owned(PyObject* made) {
    if (made == nullptr) throw Raised();
    return py::reinterpret_steal<py::object>(made);
}

// One more reference to an object that has an owner.
inline py::object borrowed(py::handle object) { return py::reinterpret_borrow<py::object>(object); }

// Calls use(item) for each item of a sequence.
template <class Use>
void for_each(py::handle sequence, Use&& use) {
    const py::object items = owned(PySequence_Tuple(sequence.ptr()));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.ptr()); ++i) use(py::handle(PyTuple_GET_ITEM(items.ptr(), i)));
}

// An attribute of a module, imported if need be.
inline py::object imported(const char* module, const char* attribute) {
    return owned(PyObject_GetAttrString(owned(PyImport_ImportModule(module)).ptr(), attribute));
}

// Turns the exception that is being handled into a Python exception.
void set_error() noexcept;

// Runs the body and returns its result, a new reference; what it throws becomes a Python exception and nullptr.
template <class Body>
PyObject* translated(Body&& body) noexcept {
    try {
        return body();
    } catch (...) {
        set_error();
    }
    return nullptr;
}

// Takes the Python exception that is set.
py::object taken_exception();

// Adds an object to the module.
void add(py::handle m, const char* name, const py::object& object);

// A float made before the work whose result it takes, because after that nothing may fail.
class Number {
  public:
    Number() : number_(owned(PyFloat_FromDouble(0))) {}
    void set(double value) { reinterpret_cast<PyFloatObject*>(number_.ptr())->ob_fval = value; }
    py::object take() { return std::move(number_); }

  private:
    py::object number_;
};

// A tuple, likewise made before the work.
class Results {
  public:
    explicit Results(Py_ssize_t size) : tuple_(owned(PyTuple_New(size))) {}
    Results& add(py::object value) {
        PyTuple_SET_ITEM(tuple_.ptr(), size_++, value.release().ptr());
        return *this;
    }
    py::object take() { return std::move(tuple_); }

  private:
    py::object tuple_;
    Py_ssize_t size_ = 0;
};

}  // namespace relu_layers::bindings
