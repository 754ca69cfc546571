#include "bindings/object.h"

namespace relu_layers::bindings {

PyTypeObject* define_type(py::handle m, const Signature& signature, std::size_t bytes, destructor destroy,
                          vectorcallfunc call, std::vector<PyMethodDef> methods, std::vector<PyGetSetDef> properties) {
    methods.push_back({});
    properties.push_back({});
    // As long as the process, as the type lives.
    auto* const name = new std::string(std::string("relu_layers._core.") + signature.name());
    auto* const kept_methods = new std::vector<PyMethodDef>(std::move(methods));
    auto* const kept_properties = new std::vector<PyGetSetDef>(std::move(properties));
    PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                           {Py_tp_methods, kept_methods->data()},
                           {Py_tp_getset, kept_properties->data()},
                           {Py_tp_doc, const_cast<char*>(signature.documentation())},
                           {0, nullptr}};
    PyType_Spec spec = {name->c_str(), static_cast<int>(bytes), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    py::object type = owned(PyType_FromSpec(&spec));
    add(m, signature.name(), type);
    auto* const made = reinterpret_cast<PyTypeObject*>(type.release().ptr());
    made->tp_vectorcall = call;
    return made;
}

}  // namespace relu_layers::bindings
