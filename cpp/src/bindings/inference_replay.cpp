// Replaying the inference of one model: what `model(x)` calls first.
#include <algorithm>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/guard.h"
#include "bindings/object.h"
#include "bindings/watched.h"

namespace relu_layers::bindings {
namespace {

class InferenceReplay {
  public:
    // watched: the layers, Watched objects.
    InferenceReplay(Reference<UsageGuard> guard, py::object params, Configuration watched)
        : guard_(std::move(guard)), params_(std::move(params)), configuration_(std::move(watched)) {}

    void add(Reference<Capture> capture) {
        captures_.insert(captures_.begin(), std::move(capture));
        if (captures_.size() > most_captures && !captures_.back()->busy()) captures_.pop_back();
    }
    // How many captures fit x, busy or not.
    int count(py::handle x) {
        int found = 0;
        for (const auto& capture : captures_) found += capture->expected(Slot::input).fits(x.ptr());
        return found;
    }
    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // y, or None where only the layers themselves can tell what is to be done.
    py::object infer(py::handle x, py::handle out) {
        if (!current() || !guard_->may_infer()) return py::none();
        const auto usable = [&](const Reference<Capture>& capture) {
            return !capture->busy() && capture->expected(Slot::input).fits(x.ptr());
        };
        const auto found = std::find_if(captures_.begin(), captures_.end(), usable);
        if (found == captures_.end()) return py::none();
        const Reference<Capture> reference = *found;  // alive, whatever becomes of the list
        Capture& capture = *reference;
        const Expected& expected = capture.expected(Slot::output);
        const bool releases = capture.long_enough();
        ResizeLock lock;
        if (releases) {
            // May let other Python code run, so that x and out are looked at after it.
            lock.add(x.ptr());
            lock.add(out.ptr());
            if (!guard_->may_infer() || !usable(reference)) return py::none();
        }
        if (!out.is_none() && (!expected.fits(out.ptr()) || (struct_of(out.ptr())->flags & writable_flag) == 0 ||
                               overlap(out.ptr(), x.ptr()) || overlap(out.ptr(), params_.ptr())))
            return py::none();
        py::object y = out.is_none() ? new_array(expected.type, expected.ndim, expected.dims) : borrowed(out);
        Run run;
        capture.place(run, Slot::input, x.ptr());
        capture.place(run, Slot::output, y.ptr());
        const auto forward = [&] { capture.program().run(replay::Phase::forward, run); };
        if (releases) {
            const UsageGuard::Inference inference(*guard_);
            const Capture::Use use(capture);
            run_released(true, forward);
        } else {
            forward();
        }
        return y;
    }

  private:
    static constexpr std::size_t most_captures = 16;

    Reference<UsageGuard> guard_;
    py::object params_;
    Configuration configuration_;
    std::vector<Reference<Capture>> captures_;
};

}  // namespace

void bind_inference_replay(py::handle m) {
    define_type<InferenceReplay, Reference<UsageGuard>, py::object, Configuration>(
        m, "InferenceReplay(guard, params, watched)",
        {method<&InferenceReplay::add>("add(capture)"), method<&InferenceReplay::count>("count(x)"),
         method<&InferenceReplay::renew>("renew()"), method<&InferenceReplay::infer>("infer(x, out)")},
        {property<&InferenceReplay::current>("current")});
}

}  // namespace relu_layers::bindings
