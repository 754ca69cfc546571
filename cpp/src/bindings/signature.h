// The parameters of a function of the extension, read once from text as in Python: "elu_forward(x, alpha=1.0, *,
// out=None)".
#pragma once

#include <string>
#include <vector>

#include "bindings/python.h"

namespace relu_layers::bindings {

class Signature {
  public:
    // `receiver` is what stands before the parameters in the text that Python shows: "$self" for a method. The function
    // has `size` of them.
    Signature(const char* text, const char* receiver, std::size_t size);

    const char* parameter(std::size_t i) const { return texts_[i].c_str(); }
    const char* name() const { return name_.c_str(); }
    // What __text_signature__ and __doc__ are read from.
    const char* documentation() const { return documentation_.c_str(); }

    // Stores a borrowed reference for every parameter, defaults included; false where the arguments do not fit, and
    // the error is set. `keywords` are the names of the last arguments, as in a vectorcall.
    bool take(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords, PyObject** values) const noexcept {
        if (keywords != nullptr || count < required_ || count > positional_)
            return match(arguments, count, keywords, values);
        const auto all = static_cast<Py_ssize_t>(names_.size());
        Py_ssize_t i = 0;
        for (; i < count; ++i) values[i] = arguments[i];
        for (; i < all; ++i) values[i] = defaults_[static_cast<std::size_t>(i)];
        return true;
    }

  private:
    void add(const std::string& parameter);
    bool match(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords, PyObject** values) const noexcept;
    Py_ssize_t position(PyObject* name) const noexcept;

    std::string name_;
    std::string documentation_;
    std::vector<std::string> texts_;
    // Never released: functions live as long as the process.
    std::vector<PyObject*> names_;
    std::vector<PyObject*> defaults_;  // nullptr for a required one
    Py_ssize_t positional_ = 0;        // how many may be given by position
    Py_ssize_t required_ = 0;          // so many by position are enough
};

}  // namespace relu_layers::bindings
