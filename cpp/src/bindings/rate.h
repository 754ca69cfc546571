// The learning rate of an optimizer as it is now: a number, a constant schedule, or what a schedule says.
#pragma once

#include <cmath>

#include "bindings/python.h"
#include "bindings/watched.h"

namespace relu_layers::bindings {

class Rate {
  public:
    // constant: the class of constant schedules, whose rate is their attribute `base`.
    Rate(py::object optimizer, py::object constant)
        : optimizer_(std::move(optimizer)), constant_(std::move(constant)), assignments_(assignments_of(optimizer_)) {}

    // The rate after so many updates. May run Python code. False for what is no finite number of at least 0, which is
    // left to the layers: they also know what to say about it.
    bool after(std::int64_t updates, double& rate) const {
        const py::object schedule = current();
        if (fixed(schedule, rate)) return usable(rate);
        const py::object number = owned(PyObject_CallFunction(schedule.ptr(), "L", static_cast<long long>(updates)));
        rate = PyFloat_AsDouble(number.ptr());
        if (PyErr_Occurred() == nullptr) return usable(rate);
        PyErr_Clear();
        return false;
    }
    // Whether the rate is a plain number, which is read without running any Python code, and once until an attribute of
    // the optimizer is set.
    bool number(double& rate) {
        if (*assignments_ != assignments_then_) {
            const py::object schedule = current();
            if (PyFloat_CheckExact(schedule.ptr()) == 0 || !usable(PyFloat_AS_DOUBLE(schedule.ptr()))) return false;
            number_ = PyFloat_AS_DOUBLE(schedule.ptr());
            assignments_then_ = *assignments_;
        }
        rate = number_;
        return true;
    }
    // Whether all updates have one rate.
    bool constant(double& rate) const { return fixed(current(), rate) && usable(rate); }

  private:
    static bool usable(double rate) { return rate >= 0 && std::isfinite(rate); }
    py::object current() const {
        static PyObject* const name = PyUnicode_InternFromString("_schedule");
        return owned(PyObject_GetAttr(optimizer_.ptr(), name));
    }
    bool fixed(const py::object& schedule, double& rate) const {
        if (PyFloat_CheckExact(schedule.ptr())) {
            rate = PyFloat_AS_DOUBLE(schedule.ptr());
            return true;
        }
        if (reinterpret_cast<PyObject*>(Py_TYPE(schedule.ptr())) != constant_.ptr()) return false;
        rate = PyFloat_AsDouble(owned(PyObject_GetAttrString(schedule.ptr(), "base")).ptr());
        if (PyErr_Occurred() == nullptr) return true;
        PyErr_Clear();
        rate = std::nan("");
        return true;
    }

    py::object optimizer_;
    py::object constant_;
    const std::int64_t* assignments_;
    std::int64_t assignments_then_ = -1;  // when number_ was read
    double number_ = 0;
};

}  // namespace relu_layers::bindings
