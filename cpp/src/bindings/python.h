// What the bindings take from CPython, NumPy and pybind11 beyond their plain public interfaces: the one header that
// names pybind11::detail.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <new>
#include <string>
#include <utility>

#include "relu_layers/types.h"

namespace relu_layers::bindings {

namespace py = pybind11;
using py::detail::npy_api;

// Thrown where a call of the C API failed: Python's error indicator is set. Unlike py::error_already_set it allocates
// nothing, so it also carries a MemoryError.
struct Raised {};

// Takes over a new reference; nullptr is an error that Python has been informed of.
inline py::object owned(PyObject* made) {
    if (made == nullptr) throw Raised();
    return py::reinterpret_steal<py::object>(made);
}

// An attribute of a module, imported if need be.
inline py::object imported(const char* module, const char* attribute) {
    return owned(PyObject_GetAttrString(owned(PyImport_ImportModule(module)).ptr(), attribute));
}

// Runs the body and returns its result, a new reference; what it throws becomes a Python exception and nullptr.
template <class Body>
PyObject* translated(Body&& body) noexcept {
    try {
        return body();
    } catch (const Raised&) {
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

// NumPy's type numbers. Every number from 0 on is a type, so no type is a negative one.
constexpr int no_type = -1;
constexpr int bool_type = npy_api::NPY_BOOL_;
constexpr int first_integer_type = npy_api::NPY_BYTE_;
constexpr int last_integer_type = npy_api::NPY_ULONGLONG_;
constexpr int uint8_type = npy_api::NPY_UBYTE_;
constexpr int int64_type = sizeof(long) == 8 ? npy_api::NPY_LONG_ : npy_api::NPY_LONGLONG_;
constexpr int half_type = 23;  // not among pybind11's
constexpr int longdouble_type = npy_api::NPY_LONGDOUBLE_;
constexpr int float32_type = npy_api::NPY_FLOAT_;
constexpr int float64_type = npy_api::NPY_DOUBLE_;

constexpr int contiguous_flag = npy_api::NPY_ARRAY_C_CONTIGUOUS_;
constexpr int aligned_flag = npy_api::NPY_ARRAY_ALIGNED_;
constexpr int writable_flag = npy_api::NPY_ARRAY_WRITEABLE_;

// The struct of an ndarray, and that of its dtype.
inline const py::detail::PyArray_Proxy* struct_of(PyObject* array) { return py::detail::array_proxy(array); }
inline const py::detail::PyArrayDescr_Proxy* dtype_of(PyObject* array) {
    return py::detail::array_descriptor_proxy(struct_of(array)->descr);
}
inline index_t item_bytes_of(PyObject* array) {
    return py::reinterpret_borrow<py::dtype>(struct_of(array)->descr).itemsize();
}
inline index_t bytes_of(PyObject* array) {
    index_t bytes = item_bytes_of(array);
    for (int i = 0; i < struct_of(array)->nd; ++i) bytes *= struct_of(array)->dimensions[i];
    return bytes;
}
inline bool is_exact_array(PyObject* object) { return Py_TYPE(object) == npy_api::get().PyArray_Type_; }
inline bool is_array(PyObject* object) { return npy_api::get().PyArray_Check_(object); }

// A new C-contiguous array.
inline py::object new_array(int type, int ndim, const index_t* dims) {
    const npy_api& api = npy_api::get();
    return owned(api.PyArray_NewFromDescr_(api.PyArray_Type_, api.PyArray_DescrFromType_(type), ndim, dims, nullptr,
                                           nullptr, 0, nullptr));
}
inline void copy_array(PyObject* to, PyObject* from) {
    if (npy_api::get().PyArray_CopyInto_(to, from) < 0) throw Raised();
}

// NumPy marks native order '=' (or, where it was asked for by name, with its own sign) and types without one '|'.
inline bool in_native_order(char order) {
    constexpr char own = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    return order == '=' || order == '|' || order == own;
}

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
