#include "bindings/watched.h"

#include <cmath>
#include <cstddef>
#include <new>

#include <structmember.h>

#include "bindings/bindings.h"
#include "bindings/fastcall.h"

namespace relu_layers::bindings {
namespace {

PyTypeObject* watched_type = nullptr;

struct Watched {
    PyObject_HEAD Changes changes;  // null while nothing looks at the object
    PyObject* shortcut;             // what a method of the object asks first; null for none
    std::int64_t assignments;
};

Watched& watched(PyObject* object) { return *reinterpret_cast<Watched*>(object); }
Watched& checked(py::handle object) {
    if (PyObject_TypeCheck(object.ptr(), watched_type) == 0) throw py::type_error("expected a Watched object");
    return watched(object.ptr());
}

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

// Whoever inherits how attributes are set has the type: a look that spares the walk through the bases.
bool is_watched(PyObject* object) {
    return Py_TYPE(object)->tp_setattro == &set_attribute || PyObject_TypeCheck(object, watched_type) != 0;
}

// Counts a change of what no public attribute holds.
void configuration_changed(py::handle object) {
    if (const Changes& changes = checked(object).changes) ++*changes;
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

// A method with a shortcut. A step of a small network is shorter than Python takes for the call of one function from
// another, so the method that people call asks the object's replay first, without a frame of its own.
struct Shortcut {
    PyObject_HEAD PyObject* function;
    PyObject* dict;
    vectorcallfunc call;
    Py_ssize_t least, most;  // arguments by position, the object itself included
};

Shortcut& shortcut(PyObject* object) { return *reinterpret_cast<Shortcut*>(object); }

// What the object's shortcut returns, unless that is None: then what the function returns, and so for every call that
// names an argument or does not fit.
PyObject* call_shortcut(PyObject* self, PyObject* const* arguments, std::size_t flags, PyObject* keywords) {
    const Shortcut& own = shortcut(self);
    const Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (keywords == nullptr && count >= own.least && count <= own.most) {
        const bool found = is_watched(arguments[0]);
        if (PyObject* const first = found ? watched(arguments[0]).shortcut : nullptr; first != nullptr) {
            Py_INCREF(first);
            PyObject* const result =
                PyObject_Vectorcall(first, arguments + 1, static_cast<std::size_t>(count - 1), nullptr);
            Py_DECREF(first);
            if (result != Py_None) return result;
            Py_DECREF(result);
        }
    }
    return PyObject_Vectorcall(own.function, arguments, flags, keywords);
}

// Shortcut(function)
PyObject* make_shortcut(PyTypeObject* type, PyObject* arguments, PyObject*) {
    PyObject* function = nullptr;
    if (PyArg_ParseTuple(arguments, "O!", &PyFunction_Type, &function) == 0) return nullptr;
    PyObject* const self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    Shortcut& own = shortcut(self);
    own.function = Py_NewRef(function);
    own.call = &call_shortcut;
    PyObject* const defaults = PyFunction_GetDefaults(function);
    own.most = reinterpret_cast<PyCodeObject*>(PyFunction_GetCode(function))->co_argcount;
    own.least = own.most - (defaults == nullptr ? 0 : PyTuple_GET_SIZE(defaults));
    if (own.least < 1) own.least = 1;
    return self;
}

void destroy_shortcut(PyObject* self) {
    PyTypeObject* const type = Py_TYPE(self);
    Py_CLEAR(shortcut(self).function);
    Py_CLEAR(shortcut(self).dict);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* bind_to(PyObject* self, PyObject* instance, PyObject*) {
    return instance == nullptr ? Py_NewRef(self) : PyMethod_New(self, instance);
}

PyObject* shown(PyObject* self) { return PyObject_Repr(shortcut(self).function); }

py::object type_of_shortcuts() {
    static PyMemberDef members[] = {
        {"__vectorcalloffset__", T_PYSSIZET, offsetof(Shortcut, call), READONLY, nullptr},
        {"__dictoffset__", T_PYSSIZET, offsetof(Shortcut, dict), READONLY, nullptr},
        {nullptr, 0, 0, 0, nullptr},
    };
    static PyGetSetDef properties[] = {
        {"__dict__", &PyObject_GenericGetDict, &PyObject_GenericSetDict, nullptr, nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr},
    };
    static PyType_Slot slots[] = {
        {Py_tp_new, reinterpret_cast<void*>(&make_shortcut)},
        {Py_tp_dealloc, reinterpret_cast<void*>(&destroy_shortcut)},
        {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
        {Py_tp_descr_get, reinterpret_cast<void*>(&bind_to)},
        {Py_tp_repr, reinterpret_cast<void*>(&shown)},
        {Py_tp_members, members},
        {Py_tp_getset, properties},
        {Py_tp_doc, const_cast<char*>("Shortcut(function)\n--\n\nA method of Watched objects that returns what the "
                                      "shortcut of its object returns, unless that is None.")},
        {0, nullptr},
    };
    static PyType_Spec spec = {"relu_layers._core.Shortcut", static_cast<int>(sizeof(Shortcut)), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};
    return owned(PyType_FromSpec(&spec));
}

// The callable must not lead back to the object: that circle nothing could collect.
void set_shortcut(py::handle object, py::handle callable) {
    Py_XSETREF(checked(object).shortcut, callable.is_none() ? nullptr : Py_NewRef(callable.ptr()));
}

}  // namespace

Changes changes_of(py::handle object) {
    Changes& changes = checked(object).changes;
    if (!changes) changes = std::make_shared<std::int64_t>(0);
    return changes;
}

const std::int64_t* assignments_of(py::handle object) { return &checked(object).assignments; }

Configuration::Configuration(py::handle objects) {
    for_each(objects, [&](py::handle object) { changes_.push_back(changes_of(object)); });
    renew();
}

void bind_watched(py::handle m) {
    const py::object type = type_of_watched();
    watched_type = reinterpret_cast<PyTypeObject*>(py::object(type).release().ptr());
    add(m, "Watched", type);
    define<&configuration_changed>(m, "configuration_changed(object)");
    add(m, "Shortcut", type_of_shortcuts());
    define<&set_shortcut>(m, "set_shortcut(object, callable)");
}

}  // namespace relu_layers::bindings
