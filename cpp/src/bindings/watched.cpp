#include "bindings/watched.h"

#include <cmath>
#include <new>

#include "bindings/bindings.h"
#include "bindings/fastcall.h"

namespace relu_layers::bindings {
namespace {

PyTypeObject* watched_type = nullptr;

struct Watched {
    PyObject_HEAD Changes changes;  // null while nothing looks at the object
    PyObject* shortcut;             // null for none
    std::int64_t assignments;
};

Watched& watched(PyObject* object) { return *reinterpret_cast<Watched*>(object); }

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* const self = type->tp_alloc(type, 0);
    if (self != nullptr) new (&watched(self).changes) Changes();
    return self;
}

void destroy(PyObject* self) {
    PyTypeObject* const type = Py_TYPE(self);
    watched(self).changes.~Changes();
    Py_CLEAR(watched(self).shortcut);
    type->tp_free(self);
    Py_DECREF(type);
}

// Null unless replays read the attribute whenever they need it: the class has a dict of such attributes, `_live`. Then
// the name of the private attribute that a number above 0 goes to without its setter, or an empty text. Borrowed.
PyObject* live_attribute(PyObject* self, PyObject* name) {
    static PyObject* const live = PyUnicode_InternFromString("_live");
    PyObject* const names = PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(self)), live);
    PyObject* const found = names != nullptr && PyDict_Check(names) ? PyDict_GetItemWithError(names, name) : nullptr;
    Py_XDECREF(names);  // the class keeps it
    if (found == nullptr) PyErr_Clear();
    return found;
}

bool is_positive_number(PyObject* value) {
    return value != nullptr && PyFloat_CheckExact(value) && PyFloat_AS_DOUBLE(value) > 0 &&
           std::isfinite(PyFloat_AS_DOUBLE(value));
}

// Asks the object itself whether it has such an attribute: 0, or -1 and the error is set.
int check_attribute(PyObject* self, PyObject* name, PyObject* value) {
    static PyObject* const check = PyUnicode_InternFromString("_check_attribute");
    PyObject* const result = PyObject_CallMethodObjArgs(self, check, name, value, nullptr);
    Py_XDECREF(result);
    return result == nullptr ? -1 : 0;
}

// Sets or deletes an attribute; a public one counts as a change of the configuration.
int set_attribute(PyObject* self, PyObject* name, PyObject* value) {
    ++watched(self).assignments;
    const bool is_private = PyUnicode_GET_LENGTH(name) > 0 && PyUnicode_READ_CHAR(name, 0) == '_';
    if (is_private) return PyObject_GenericSetAttr(self, name, value);
    if (PyObject* const place = live_attribute(self, name); place != nullptr) {
        const bool at_once = is_positive_number(value) && PyUnicode_Check(place) && PyUnicode_GET_LENGTH(place) > 0;
        return PyObject_GenericSetAttr(self, at_once ? place : name, value);
    }
    if (value != nullptr && check_attribute(self, name, value) < 0) return -1;
    const int failed = PyObject_GenericSetAttr(self, name, value);
    if (failed == 0 && watched(self).changes) ++*watched(self).changes;
    return failed;
}

// Counts a change of what no public attribute holds.
void configuration_changed(py::handle object) {
    if (PyObject_TypeCheck(object.ptr(), watched_type) == 0)
        throw py::type_error("configuration_changed: expected a Watched object");
    if (watched(object.ptr()).changes) ++*watched(object.ptr()).changes;
}

// A class of Python's own making, for a pybind11 class would cost every subclass its metaclass.
py::object type_of_watched() {
    static PyType_Slot slots[] = {
        {Py_tp_new, reinterpret_cast<void*>(&make)},
        {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
        {Py_tp_setattro, reinterpret_cast<void*>(&set_attribute)},
        {Py_tp_doc, const_cast<char*>("Watched()\n--\n\nBase of what captures depend on: a public attribute that is "
                                      "set makes them look again.")},
        {0, nullptr},
    };
    static PyType_Spec spec = {"relu_layers._core.Watched", static_cast<int>(sizeof(Watched)), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
    return owned(PyType_FromSpec(&spec));
}

}  // namespace

Changes changes_of(py::handle object) {
    if (PyObject_TypeCheck(object.ptr(), watched_type) == 0) throw py::type_error("expected a list of Watched objects");
    Changes& changes = watched(object.ptr()).changes;
    if (!changes) changes = std::make_shared<std::int64_t>(0);
    return changes;
}

const std::int64_t* assignments_of(py::handle object) {
    if (PyObject_TypeCheck(object.ptr(), watched_type) == 0) throw py::type_error("expected a Watched object");
    return &watched(object.ptr()).assignments;
}

PyObject* shortcut_of(PyObject* object) {
    return PyObject_TypeCheck(object, watched_type) != 0 ? watched(object).shortcut : nullptr;
}

void replace_shortcut(py::handle object, PyObject* callable) {
    if (PyObject_TypeCheck(object.ptr(), watched_type) == 0)
        throw py::type_error("set_shortcut: expected a Watched object");
    Py_XINCREF(callable);
    Py_XSETREF(watched(object.ptr()).shortcut, callable);
}

Configuration::Configuration(py::handle objects) {
    for_each(objects, [&](py::handle object) { changes_.push_back(changes_of(object)); });
    renew();
}

void bind_watched(py::handle m) {
    const py::object type = type_of_watched();
    watched_type = reinterpret_cast<PyTypeObject*>(py::object(type).release().ptr());
    add(m, "Watched", type);
    define<&configuration_changed>(m, "configuration_changed(object)");
}

}  // namespace relu_layers::bindings
