// What the Python side is built on beside the ops: the base class of everything that captures depend on, and arrays that
// begin on a cache line.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/capture.h"
#include "bindings/fastcall.h"

namespace relu_layers::bindings {
namespace {

constexpr std::uintptr_t cache_line = 64;

// Asks the object itself whether it has such an attribute: 0, or -1 and the error is set.
int check_attribute(PyObject* self, PyObject* name, PyObject* value) {
    static PyObject* const check = PyUnicode_InternFromString("_check_attribute");
    PyObject* const result = PyObject_CallMethodObjArgs(self, check, name, value, nullptr);
    Py_XDECREF(result);
    return result == nullptr ? -1 : 0;
}

// Sets or deletes an attribute; a public one counts as a change of the configuration.
int set_attribute(PyObject* self, PyObject* name, PyObject* value) {
    const bool is_private = PyUnicode_GET_LENGTH(name) > 0 && PyUnicode_READ_CHAR(name, 0) == '_';
    if (!is_private && value != nullptr && check_attribute(self, name, value) < 0) return -1;
    const int failed = PyObject_GenericSetAttr(self, name, value);
    if (failed == 0 && !is_private) ++configuration;
    return failed;
}

// A class of Python's own making, for a pybind11 class would cost every subclass its metaclass and a C++ object.
py::object watched_type() {
    static PyType_Slot slots[] = {
        {Py_tp_setattro, reinterpret_cast<void*>(&set_attribute)},
        {Py_tp_doc,
         const_cast<char*>("Base of what captures depend on: a public attribute that is set makes them look again.")},
        {0, nullptr},
    };
    static PyType_Spec spec = {"relu_layers._core.Watched", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
    PyObject* type = PyType_FromSpec(&spec);
    if (type == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(type);
}

// A new C-contiguous array whose first element lies on a cache line: a view of a longer one.
py::object empty(py::handle lengths, py::handle type) {
    const auto shape = lengths.cast<std::vector<py::ssize_t>>();
    const py::dtype dtype = py::dtype::from_args(py::reinterpret_borrow<py::object>(type));
    py::ssize_t bytes = dtype.itemsize();
    for (const py::ssize_t length : shape) bytes *= length;
    const py::array_t<std::uint8_t> memory(bytes + static_cast<py::ssize_t>(cache_line));
    const auto* begin = memory.data();
    const auto past = reinterpret_cast<std::uintptr_t>(begin) % cache_line;
    return py::array(dtype, shape, begin + (past == 0 ? 0 : cache_line - past), memory);
}

}  // namespace

void bind_support(py::module_& m) {
    m.attr("Watched") = watched_type();
    define<&empty>(m, "empty(shape, dtype)");
}

}  // namespace relu_layers::bindings
