// Methods with a shortcut. A step of a small network is shorter than Python takes for the call of one function from
// another, so the method that people call asks the object's replay first, without a frame of its own.
#include <cstddef>

#include <structmember.h>

#include "bindings/bindings.h"
#include "bindings/fastcall.h"
#include "bindings/watched.h"

namespace relu_layers::bindings {
namespace {

struct Shortcut {
    PyObject_HEAD PyObject* function;
    PyObject* dict;
    vectorcallfunc call;
    Py_ssize_t least, most;  // arguments by position, the object itself included
};

Shortcut& shortcut(PyObject* object) { return *reinterpret_cast<Shortcut*>(object); }

// What the object's shortcut returns, unless that is None: then what the function returns, and so for every call that
// names an argument or does not fit.
PyObject* call(PyObject* self, PyObject* const* arguments, std::size_t flags, PyObject* keywords) {
    const Shortcut& own = shortcut(self);
    const Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (keywords == nullptr && count >= own.least && count <= own.most) {
        if (PyObject* const first = shortcut_of(arguments[0]); first != nullptr) {
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
PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject*) {
    PyObject* function = nullptr;
    if (PyArg_ParseTuple(arguments, "O!", &PyFunction_Type, &function) == 0) return nullptr;
    PyObject* const self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    Shortcut& own = shortcut(self);
    own.function = Py_NewRef(function);
    own.call = &call;
    PyObject* const defaults = PyFunction_GetDefaults(function);
    own.most = reinterpret_cast<PyCodeObject*>(PyFunction_GetCode(function))->co_argcount;
    own.least = own.most - (defaults == nullptr ? 0 : PyTuple_GET_SIZE(defaults));
    if (own.least < 1) own.least = 1;
    return self;
}

void destroy(PyObject* self) {
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

void set_shortcut(py::handle object, py::handle callable) {
    replace_shortcut(object, callable.is_none() ? nullptr : callable.ptr());
}

}  // namespace

void bind_shortcut(py::handle m) {
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
        {Py_tp_new, reinterpret_cast<void*>(&make)},
        {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
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
    add(m, "Shortcut", owned(PyType_FromSpec(&spec)));
    define<&set_shortcut>(m, "set_shortcut(object, callable)");
}

}  // namespace relu_layers::bindings
