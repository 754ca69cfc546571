#include "bindings/fastcall.h"

namespace relu_layers::bindings {
namespace {

// The value of a literal.
PyObject* evaluated(const std::string& text) {
    const py::object names = owned(PyDict_New());
    return owned(PyRun_String(text.c_str(), Py_eval_input, names.ptr(), names.ptr())).release().ptr();
}

const char* plural(Py_ssize_t count) { return count == 1 ? "" : "s"; }

}  // namespace

void Signature::add(const std::string& parameter) {
    const auto equals = parameter.find('=');
    texts_.push_back(parameter.substr(0, equals));
    names_.push_back(PyUnicode_InternFromString(texts_.back().c_str()));
    if (names_.back() == nullptr) throw Raised();
    defaults_.push_back(equals == std::string::npos ? nullptr : evaluated(parameter.substr(equals + 1)));
}

Signature::Signature(const char* text_, const char* receiver, std::size_t size) {
    const std::string text = text_;
    const auto open = text.find('(');
    std::string listed = text.substr(open + 1, text.rfind(')') - open - 1);
    name_ = text.substr(0, open);
    documentation_ = name_ + "(" + receiver + (*receiver != '\0' && !listed.empty() ? ", " : "") + listed + ")\n--\n\n";
    bool by_position = true;
    while (!listed.empty()) {
        const auto comma = listed.find(", ");
        const std::string parameter = listed.substr(0, comma);
        if (parameter == "*") by_position = false;
        else add(parameter);
        if (by_position) positional_ = static_cast<Py_ssize_t>(names_.size());
        listed = comma == std::string::npos ? "" : listed.substr(comma + 2);
    }
    if (names_.size() != size) throw std::logic_error("parameters differ: " + text);
    for (std::size_t i = 0; i < size; ++i)
        if (defaults_[i] == nullptr) required_ = static_cast<Py_ssize_t>(i) + 1;
}

Py_ssize_t Signature::position(PyObject* name) const noexcept {
    const auto all = static_cast<Py_ssize_t>(names_.size());
    for (Py_ssize_t i = 0; i < all; ++i)
        if (names_[static_cast<std::size_t>(i)] == name) return i;
    for (Py_ssize_t i = 0; i < all; ++i)
        if (PyUnicode_Compare(names_[static_cast<std::size_t>(i)], name) == 0) return i;
    return -1;
}

bool Signature::match(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords,
                      PyObject** values) const noexcept {
    const auto all = static_cast<Py_ssize_t>(names_.size());
    if (count > positional_) {
        PyErr_Format(PyExc_TypeError, "%s() takes %s%zd positional argument%s but %zd %s given", name(),
                     required_ < positional_ ? "at most " : "", positional_, plural(positional_), count,
                     count == 1 ? "was" : "were");
        return false;
    }
    for (Py_ssize_t i = 0; i < all; ++i) values[i] = i < count ? arguments[i] : nullptr;
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < named; ++k) {
        PyObject* const keyword = PyTuple_GET_ITEM(keywords, k);
        const Py_ssize_t i = position(keyword);
        if (i < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", name(), keyword);
            return false;
        }
        if (values[i] != nullptr) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", name(), keyword);
            return false;
        }
        values[i] = arguments[count + k];
    }
    for (Py_ssize_t i = 0; i < all; ++i) {
        if (values[i] == nullptr) values[i] = defaults_[static_cast<std::size_t>(i)];
        if (values[i] != nullptr) continue;
        PyErr_Format(PyExc_TypeError, "%s() missing required argument '%U'", name(),
                     names_[static_cast<std::size_t>(i)]);
        return false;
    }
    return true;
}

void define(py::handle m, PyMethodDef definition) {
    const py::object module_name = owned(PyModule_GetNameObject(m.ptr()));
    auto* const kept = new PyMethodDef(definition);  // as long as the process, as functions live
    add(m, kept->ml_name, owned(PyCFunction_NewEx(kept, nullptr, module_name.ptr())));
}

PyObject* invoke(const Signature& signature, Code code, void* receiver, PyObject* const* arguments, Py_ssize_t count,
                 PyObject* keywords) noexcept {
    PyObject* values[most_parameters];
    if (!signature.take(arguments, count, keywords, values)) return nullptr;
    return translated([&] { return code(receiver, values); });
}

}  // namespace relu_layers::bindings
