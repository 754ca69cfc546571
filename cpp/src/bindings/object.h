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
        return invoke(*Construction::signature, &Construction::run, nullptr, arguments, PyVectorcall_NARGS(flags),
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

// Makes the type and adds it to the module.
PyTypeObject* define_type(py::handle m, const Signature& signature, std::size_t bytes, destructor destroy,
                          vectorcallfunc call, std::vector<PyMethodDef> methods, std::vector<PyGetSetDef> properties);

// Its objects are made from the parameters of the signature.
template <class T, class... Parameters>
void define_type(py::handle m, const char* signature, std::vector<PyMethodDef> methods,
                 std::vector<PyGetSetDef> properties = {}) {
    using Made = Construction<T, Parameters...>;
    Made::signature = new Signature(signature, "", Made::size);
    Object<T>::type = define_type(m, *Made::signature, sizeof(Object<T>), &destroy<T>, &Made::call, std::move(methods),
                                  std::move(properties));
}

}  // namespace relu_layers::bindings
