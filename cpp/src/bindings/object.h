// Types of the extension: each of its objects holds one C++ object. pybind11 would end the process where it finds no
// memory for an instance.
#pragma once

#include <vector>

#include "bindings/fastcall.h"

namespace relu_layers::bindings {

template <class T, class... Parameters>
py::object made(Parameters... parameters) {
    PyTypeObject* const type = Object<T>::type;
    PyObject* const self = type->tp_alloc(type, 0);
    if (self == nullptr) throw Raised();
    try {
        new (&reinterpret_cast<Object<T>*>(self)->value) T(std::forward<Parameters>(parameters)...);
    } catch (...) {
        type->tp_free(self);
        Py_DECREF(type);
        throw;
    }
    return owned(self);
}

// The call of a type.
template <class T, class... Parameters>
struct Construction : Invocation<&made<T, Parameters...>, void, py::object, Parameters...> {
    static PyObject* call(PyObject*, PyObject* const* arguments, std::size_t flags, PyObject* keywords) {
        return invoke(Construction::signature, &Construction::run, nullptr, arguments, PyVectorcall_NARGS(flags),
                      keywords);
    }
};

template <class T>
void destroy(PyObject* self) {
    PyTypeObject* const type = Py_TYPE(self);
    reinterpret_cast<Object<T>*>(self)->value.~T();
    type->tp_free(self);
    Py_DECREF(type);
}

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
    using Made = Construction<T, Parameters...>;
    static std::vector<PyMethodDef> methods = std::move(methods_);
    static std::vector<PyGetSetDef> properties = std::move(properties_);
    methods.push_back({});
    properties.push_back({});
    Made::signature.parse(signature, "", Made::size);
    static const std::string name = std::string("relu_layers._core.") + Made::signature.name();
    PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&destroy<T>)},
                           {Py_tp_methods, methods.data()},
                           {Py_tp_getset, properties.data()},
                           {Py_tp_doc, const_cast<char*>(Made::signature.documentation())},
                           {0, nullptr}};
    PyType_Spec spec = {name.c_str(), static_cast<int>(sizeof(Object<T>)), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    const py::object type = owned(PyType_FromSpec(&spec));
    Object<T>::type = reinterpret_cast<PyTypeObject*>(py::object(type).release().ptr());
    Object<T>::type->tp_vectorcall = &Made::call;
    add(m, Made::signature.name(), type);
}

}  // namespace relu_layers::bindings
