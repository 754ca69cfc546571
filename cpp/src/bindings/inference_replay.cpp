// Replaying the inference of one model: what `model(x)` calls first.
#include <vector>

#include "bindings/bindings.h"
#include "bindings/capture.h"
#include "bindings/guard.h"
#include "bindings/object.h"
#include "bindings/watched.h"

namespace relu_layers::bindings {
namespace {

class InferenceReplay {
  public:
    // watched: the layers, a list of Watched objects.
    InferenceReplay(py::handle guard, py::handle params, py::handle watched)
        : guard_object_(py::reinterpret_borrow<py::object>(guard)),
          guard_(object_of<UsageGuard>(guard)),
          params_(py::reinterpret_borrow<py::object>(params)),
          configuration_(watched) {}

    void add(py::handle capture) {
        captures_.insert(captures_.begin(),
                         {py::reinterpret_borrow<py::object>(capture), &object_of<Capture>(capture)});
        if (captures_.size() > most_captures && !captures_.back().capture->busy()) captures_.pop_back();
    }
    // How many captures fit x, busy or not.
    int count(py::handle x) {
        int found = 0;
        for (const Entry& entry : captures_) found += entry.capture->expected(Slot::input).fits(x.ptr());
        return found;
    }
    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // y, or None where only the layers themselves can tell what is to be done.
    py::object infer(py::handle x, py::handle out) {
        if (!current() || !guard_.may_infer()) return py::none();
        const Entry* found = nullptr;
        for (const Entry& candidate : captures_) {
            if (candidate.capture->busy() || !candidate.capture->expected(Slot::input).fits(x.ptr())) continue;
            found = &candidate;
            break;
        }
        if (found == nullptr) return py::none();
        const Entry entry = *found;  // alive, whatever becomes of the list
        Capture& capture = *entry.capture;
        const Expected& expected = capture.expected(Slot::output);
        const bool releases = capture.long_enough();
        Held held;
        if (releases) {
            // May let other Python code run, so that x and out are looked at after it.
            held.hold(x.ptr());
            if (!out.is_none() && is_array(out.ptr())) held.hold(out.ptr());
            if (capture.busy() || !guard_.may_infer() || !capture.expected(Slot::input).fits(x.ptr()))
                return py::none();
        }
        if (!out.is_none() && (!expected.fits(out.ptr()) || (struct_of(out.ptr())->flags & writable_flag) == 0 ||
                               overlap(out.ptr(), x.ptr()) || overlap(out.ptr(), params_.ptr())))
            return py::none();
        py::object y = out.is_none() ? new_array(expected.type, expected.ndim, expected.dims)
                                     : py::reinterpret_borrow<py::object>(out);
        Moment now;
        capture.place(now, Slot::input, x.ptr());
        capture.place(now, Slot::output, y.ptr());
        if (releases) {
            const InUse in_use(capture, guard_);
            const ReleasedGil released;
            capture.program().run(replay::Phase::forward, now);
        } else {
            capture.program().run(replay::Phase::forward, now);
        }
        return y;
    }

  private:
    static constexpr std::size_t most_captures = 16;

    struct Entry {
        py::object object;
        Capture* capture;
    };

    // A capture and its model while an inference runs without the GIL, which is taken back before this ends.
    class InUse {
      public:
        InUse(Capture& capture, UsageGuard& guard) : capture_(capture), guard_(guard) {
            guard_.begin_inference();
            capture_.take();
        }
        ~InUse() {
            capture_.give_back();
            guard_.end_inference();
        }
        InUse(const InUse&) = delete;
        InUse& operator=(const InUse&) = delete;

      private:
        Capture& capture_;
        UsageGuard& guard_;
    };

    py::object guard_object_;
    UsageGuard& guard_;
    py::object params_;
    Configuration configuration_;
    std::vector<Entry> captures_;
};

}  // namespace

void bind_inference_replay(py::module_& m) {
    define_type<InferenceReplay, py::handle, py::handle, py::handle>(
        m, "InferenceReplay(guard, params, watched)",
        {method<&InferenceReplay::add>("add(capture)"), method<&InferenceReplay::count>("count(x)"),
         method<&InferenceReplay::renew>("renew()"), method<&InferenceReplay::infer>("infer(x, out)")},
        {property<&InferenceReplay::current>("current")});
}

}  // namespace relu_layers::bindings
