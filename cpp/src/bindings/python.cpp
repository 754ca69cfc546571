#include "bindings/python.h"

#include <new>

namespace relu_layers::bindings {

void set_error() noexcept {
    try {
        throw;
    } catch (const Raised&) {
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
}

py::object taken_exception() {
#if PY_VERSION_HEX >= 0x030C0000
    return py::reinterpret_steal<py::object>(PyErr_GetRaisedException());
#else
    PyObject* type = nullptr;
    PyObject* exception = nullptr;
    PyObject* trace = nullptr;
    PyErr_Fetch(&type, &exception, &trace);
    PyErr_NormalizeException(&type, &exception, &trace);
    if (trace != nullptr) PyException_SetTraceback(exception, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return py::reinterpret_steal<py::object>(exception);
#endif
}

void add(py::handle m, const char* name, const py::object& object) {
    if (PyModule_AddObjectRef(m.ptr(), name, object.ptr()) < 0) throw Raised();
}

}  // namespace relu_layers::bindings
