// Types of the extension: each of its objects holds one C++ object. pybind11 would end the process where it finds no
// memory for an instance.
#pragma once

#include <vector>

#include "bindings/fastcall.h"

namespace relu_layers::bindings {

template <class T, class... Parameters>
class Type {
  public:
    static PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
        return translated(
            [&] { return construct(type, arguments, keywords, std::index_sequence_for<Parameters...>()); });
    }
    static void destroy(PyObject* self) {
        PyTypeObject* const type = Py_TYPE(self);
        reinterpret_cast<Object<T>*>(self)->value.~T();
        type->tp_free(self);
        Py_DECREF(type);
    }

    static inline Signature signature;

  private:
    template <std::size_t... i>
    static PyObject* construct(PyTypeObject* type, PyObject* arguments, PyObject* keywords, std::index_sequence<i...>) {
        // As a vectorcall has them: the values by position, those by keyword, and the names of the latter.
        std::vector<PyObject*> given;
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(arguments); ++k) given.push_back(PyTuple_GET_ITEM(arguments, k));
        py::object names;
        if (keywords != nullptr) {
            names = owned(PySequence_Tuple(keywords));
            for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(names.ptr()); ++k)
                given.push_back(PyDict_GetItem(keywords, PyTuple_GET_ITEM(names.ptr(), k)));
        }
        PyObject* values[sizeof...(Parameters) + 1];
        if (!signature.take(given.data(), PyTuple_GET_SIZE(arguments), names.ptr(), values)) return nullptr;
        PyObject* const self = type->tp_alloc(type, 0);
        if (self == nullptr) return nullptr;
        try {
            new (&reinterpret_cast<Object<T>*>(self)->value) T(from_python<Parameters>(values[i])...);
        } catch (...) {
            type->tp_free(self);
            Py_DECREF(type);
            throw;
        }
        return self;
    }
};

// A property that is read through a function of the object.
template <auto function>
struct Property;

template <class Result, class T, Result (T::*function)() const>
struct Property<function> {
    static PyObject* get(PyObject* self, void*) {
        return translated([&] { return to_python((reinterpret_cast<Object<T>*>(self)->value.*function)()); });
    }
};

template <auto function>
PyGetSetDef property(const char* name) {
    return {name, &Property<function>::get, nullptr, nullptr, nullptr};
}

// Adds the type to the module; its objects are made from the parameters of the signature.
template <class T, class... Parameters>
void define_type(py::handle m, const char* signature, std::vector<PyMethodDef> methods_,
                 std::vector<PyGetSetDef> properties_ = {}) {
    using Made = Type<T, Parameters...>;
    static std::vector<PyMethodDef> methods = std::move(methods_);
    static std::vector<PyGetSetDef> properties = std::move(properties_);
    methods.push_back({});
    properties.push_back({});
    Made::signature.parse(signature);
    static const std::string name = std::string("relu_layers._core.") + Made::signature.name();
    PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(&Made::make)},
                           {Py_tp_dealloc, reinterpret_cast<void*>(&Made::destroy)},
                           {Py_tp_methods, methods.data()},
                           {Py_tp_getset, properties.data()},
                           {Py_tp_doc, const_cast<char*>(Made::signature.documentation())},
                           {0, nullptr}};
    PyType_Spec spec = {name.c_str(), static_cast<int>(sizeof(Object<T>)), 0, Py_TPFLAGS_DEFAULT, slots};
    const py::object type = owned(PyType_FromSpec(&spec));
    Object<T>::type = reinterpret_cast<PyTypeObject*>(py::object(type).release().ptr());
    add(m, Made::signature.name(), type);
}

}  // namespace relu_layers::bindings
