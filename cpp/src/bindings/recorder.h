// Recording: while a Recorder is active on a thread, the calls of that thread are checked as ever, but their bodies are
// kept in a program instead of being run.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/forks.h"
#include "bindings/python.h"
#include "replay/program.h"

namespace relu_layers::bindings {

class Recorder {
  public:
    // The memory that a slot stands for, nullptr for none.
    struct Bound {
        const char* begin = nullptr;
        const char* end = nullptr;
    };

    Recorder() {}
    ~Recorder() { stop(); }
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    // The one that is active on this thread, or nullptr.
    static Recorder* current() { return active_ == nullptr || !owner_->is_current() ? nullptr : active_; }
    // One thread records at a time; false where another does.
    bool start(replay::Phase phase) {
        if (active_ != nullptr && active_ != this && owner_->exists()) return false;
        owner_ = Thread::current();
        active_ = this;
        phase_ = phase;
        return true;
    }
    void stop() {
        if (active_ == this) active_ = nullptr;
    }

    void bind(replay::Slot slot, py::handle array);

    void add(double work, replay::Body body) {
        work_ += work;
        program_.add(phase_, std::move(body));
    }
    void add_check(replay::Body body) { program_.add(replay::Phase::check, std::move(body)); }
    // Which slot an array belongs to. Every other array stays alive as long as the program.
    replay::Slot slot_of(PyObject* object, const char* data);
    // Has an object live as long as the program.
    void keep(PyObject* object) { kept_.push_back(borrowed(object)); }
    void fail(const std::string& reason) {
        if (!failure_) failure_ = reason;
    }

    const replay::Program& program() const { return program_; }
    const Bound& bound(replay::Slot slot) const { return bound_[static_cast<int>(slot)]; }
    const std::optional<std::string>& failure() const { return failure_; }
    double work() const { return work_; }

  private:
    static inline Recorder* active_ = nullptr;  // guarded by the GIL
    static inline std::optional<Thread> owner_;

    replay::Phase phase_ = replay::Phase::forward;
    replay::Program program_;
    Bound bound_[static_cast<int>(replay::Slot::count)];
    std::vector<py::object> kept_;
    std::optional<std::string> failure_;
    double work_ = 0;
};

}  // namespace relu_layers::bindings
