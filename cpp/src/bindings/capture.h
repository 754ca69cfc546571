// What was recorded for one shape of batch, and which arrays it can be replayed with.
#pragma once

#include <optional>

#include "bindings/call.h"

namespace relu_layers::bindings {

// An array as a capture expects it: exactly this type and shape, contiguous.
struct Expected {
    bool present = false;
    int type = no_type;
    int ndim = 0;
    index_t dims[max_ndim];
    index_t row_bytes = 0;

    Expected() {}
    explicit Expected(py::handle array);
    bool fits(PyObject* value) const { return present ? is_like(value, false) : value == Py_None; }
    bool fits_rows(PyObject* value) const { return present ? is_like(value, true) : value == Py_None; }

  private:
    bool is_like(PyObject* value, bool any_rows) const;
};

// A target as a loss takes it: an array, or (columns, values), a tuple. Borrowed; None for no columns.
struct Target {
    PyObject* columns = Py_None;
    PyObject* values;

    explicit Target(PyObject* target) : values(target) {
        if (!PyTuple_Check(target) || PyTuple_GET_SIZE(target) != 2) return;
        columns = PyTuple_GET_ITEM(target, 0);
        values = PyTuple_GET_ITEM(target, 1);
    }
};

class Capture {
  public:
    Capture(py::handle input, py::handle target, py::handle sample_weight, py::handle output);

    void start(int phase);
    void stop() { recorder_.stop(); }
    py::object failure() const;

    const Expected& expected(Slot slot) const { return expected_[static_cast<int>(slot)]; }
    const char* recorded(Slot slot) const { return recorder_.bound(slot).begin; }
    const replay::Program& program() const { return recorder_.program(); }
    bool long_enough() const { return recorder_.work() > work_worth_releasing; }
    double work() const { return recorder_.work(); }
    // Has `run` take the slot's memory from the array, which is one that the capture fits.
    void place(Run& run, Slot slot, PyObject* array) const {
        if (array != Py_None) run.shift[static_cast<int>(slot)] = struct_of(array)->data - recorded(slot);
    }

    // Whether an inference runs in its buffers.
    bool busy() const { return user_ && user_->exists(); }
    // This thread's for as long as the object lives.
    class Use {
      public:
        explicit Use(Capture& capture) : capture_(capture) { capture_.user_ = Thread::current(); }
        ~Use() { capture_.user_.reset(); }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

      private:
        Capture& capture_;
    };

  private:
    Recorder recorder_;
    Expected expected_[static_cast<int>(Slot::count)];
    std::optional<Thread> user_;
};

// Whether the memory of two arrays, both contiguous, has a byte in common.
bool overlap(PyObject* a, PyObject* b);

}  // namespace relu_layers::bindings
