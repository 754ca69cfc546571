// Recording, and what was recorded for one shape of batch: while a capture is active on a thread, the calls of that
// thread are checked as ever, but their bodies are kept in a program instead of being run.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/forks.h"
#include "bindings/numpy.h"
#include "replay/program.h"

namespace relu_layers::bindings {

using replay::Place;
using replay::Run;
using replay::Slot;

// Releasing the GIL costs some 30 ns: worth it only where one thread is busy for several microseconds. Work is counted
// in elements of a cheap elementwise op.
constexpr double work_worth_releasing = 50e3;

// An array as a capture expects it: exactly this type and shape, contiguous.
struct Expected {
    bool present = false;
    int type = no_type;
    int ndim = 0;
    index_t dims[max_ndim];
    index_t row_bytes = 0;
    Extent memory{nullptr, nullptr};  // what the program knows

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
    ~Capture() { stop(); }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    // The one that is active on this thread, or nullptr.
    static Capture* current() { return active_ == nullptr || !owner_->is_current() ? nullptr : active_; }
    // One thread records at a time.
    void start(int phase);
    void stop() {
        if (active_ == this) active_ = nullptr;
    }
    void add(double work, replay::Body body) {
        work_ += work;
        program_.add(phase_, std::move(body));
    }
    void add_check(replay::Body body) { program_.add(replay::Phase::check, std::move(body)); }
    // Which slot an array belongs to. Every other array stays alive as long as the program.
    Slot slot_of(PyObject* object, const char* data);
    // Has an object live as long as the program.
    void keep(PyObject* object) { kept_.push_back(borrowed(object)); }
    void fail(const std::string& reason) {
        if (!failure_) failure_ = reason;
    }
    py::object failure() const;

    const Expected& expected(Slot slot) const { return expected_[static_cast<int>(slot)]; }
    const replay::Program& program() const { return program_; }
    bool long_enough() const { return work_ > work_worth_releasing; }
    double work() const { return work_; }
    // Has `run` take the slot's memory from the array, which is one that the capture fits.
    void place(Run& run, Slot slot, PyObject* array) const {
        if (array != Py_None) run.shift[static_cast<int>(slot)] = struct_of(array)->data - expected(slot).memory.begin;
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
    static inline Capture* active_ = nullptr;  // guarded by the GIL
    static inline std::optional<Thread> owner_;

    replay::Phase phase_ = replay::Phase::forward;
    replay::Program program_;
    Expected expected_[static_cast<int>(Slot::count)];
    std::vector<py::object> kept_;
    std::optional<std::string> failure_;
    double work_ = 0;
    std::optional<Thread> user_;
};

}  // namespace relu_layers::bindings
