// Replaying the parts of a loop that is not the trainer's: a model's training forward and its backward, and an
// optimizer's update, each one call.
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/guard.h"
#include "bindings/object.h"
#include "bindings/shared_numbers.h"
#include "bindings/watched.h"

namespace relu_layers::bindings {
namespace {

constexpr std::size_t most_shapes = 8;

// What `model.forward(x, training=True)` and `model.backward(dy)` call first. A workspace serves one pass at a time: the
// latest.
class PassReplay {
  public:
    // gradients: of the whole model; watched: the layers.
    PassReplay(Reference<UsageGuard> guard, py::object gradients, Counters counters, Configuration watched)
        : guard_(std::move(guard)),
          gradients_(std::move(gradients)),
          counters_(std::move(counters)),
          configuration_(std::move(watched)) {}

    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // outputs: where the forward leaves y.
    void add(Reference<Capture> forward, py::object outputs) {
        const Entry entry{std::move(forward), {}, std::move(outputs), counters_.values()};
        entries_.insert(entries_.begin(), std::make_shared<Entry>(entry));
        if (entries_.size() > most_shapes) entries_.pop_back();
    }
    // A backward of the pass under way.
    void add_backward(Reference<Capture> backward, bool need_dx, bool accumulate) {
        if (pending_) pending_->backward[variant(need_dx, accumulate)] = std::move(backward);
    }
    bool fits(py::handle x) const { return fitting(x.ptr()) != nullptr; }

    // y, or None where the layers have to be run. `stepping`: asked for by the step that is under way.
    py::object forward(py::handle x, bool stepping) {
        forget();
        if (!current() || !may_run(stepping)) return py::none();
        const std::shared_ptr<Entry> entry = fitting(x.ptr());
        if (entry == nullptr) return py::none();
        const Capture& capture = *entry->forward;
        ResizeLock lock;
        if (capture.long_enough()) {
            // May let other Python code run, so that everything is looked at after it.
            lock.add(x.ptr());
            if (!current() || !may_run(stepping) || !capture.expected(Slot::input).fits(x.ptr())) return py::none();
        }
        if (overlap(x.ptr(), gradients_.ptr()) || !counters_.in_step(entry->counters)) return py::none();
        PyObject* const outputs = entry->outputs.ptr();
        const auto* like = struct_of(outputs);
        index_t dims[max_ndim];
        for (int i = 0; i < like->nd; ++i) dims[i] = like->dimensions[i];
        py::object y = new_array(dtype_of(outputs)->type_num, like->nd, dims);
        const index_t bytes = bytes_of(outputs);
        run_ = Run();
        capture.place(run_, Slot::input, x.ptr());
        run_.forwards = counters_.since(entry->counters);
        const UsageGuard::Training training(*guard_);
        run_released(capture.long_enough(), [&] {
            capture.program().run(replay::Phase::forward, run_);
            std::memcpy(struct_of(y.ptr())->data, like->data, static_cast<std::size_t>(bytes));
        });
        counters_.advance();
        pending_ = entry;
        x_ = borrowed(x);
        version_ = guard_->version();
        return y;
    }

    // dx, or None without need_dx; False where the layers have to be run.
    py::object backward(py::handle dy, bool need_dx, bool accumulate, bool stepping) {
        const std::shared_ptr<Entry> entry = pending_;
        const py::object undone = py::bool_(false);
        if (entry == nullptr) return undone;
        const Reference<Capture> recorded = entry->backward[variant(need_dx, accumulate)];
        if (!recorded) return undone;
        const Capture& capture = *recorded;
        ResizeLock lock;
        // May let other Python code run, so that everything is looked at after it.
        if (capture.long_enough())
            for (const py::object& array : {x_, borrowed(dy)}) lock.add(array.ptr());
        if (pending_ != entry || !current() || !may_run(stepping) || version_ != guard_->version() ||
            !capture.expected(Slot::input).fits(x_.ptr()) || !capture.expected(Slot::target).fits(dy.ptr()) ||
            overlap(dy.ptr(), gradients_.ptr()))
            return undone;
        const Expected& expected = capture.expected(Slot::output);
        py::object dx = need_dx ? new_array(expected.type, expected.ndim, expected.dims) : py::none();
        Run run = run_;
        capture.place(run, Slot::input, x_.ptr());
        capture.place(run, Slot::target, dy.ptr());
        capture.place(run, Slot::output, dx.ptr());
        const UsageGuard::Training training(*guard_);
        run_released(capture.long_enough(), [&] { capture.program().run(replay::Phase::backward, run); });
        forget();
        return dx;
    }

    // Whether a forward waits for its backward, its batch, and how many forwards there were since it was recorded.
    bool pending() const { return pending_ != nullptr; }
    py::object batch() const { return x_ ? x_ : py::none(); }
    index_t version() const { return version_; }
    index_t forwards() const { return static_cast<index_t>(run_.forwards); }
    void forget() {
        pending_.reset();
        x_ = py::object();
    }

  private:
    struct Entry {
        Reference<Capture> forward;
        Reference<Capture> backward[4];
        py::object outputs;
        Counters::Values counters;  // when it was recorded
    };
    bool may_run(bool stepping) { return stepping ? guard_->may_train() : guard_->may_step(); }
    static std::size_t variant(bool need_dx, bool accumulate) { return (need_dx ? 2u : 0u) + (accumulate ? 1u : 0u); }
    std::shared_ptr<Entry> fitting(PyObject* x) const {
        for (const auto& entry : entries_)
            if (entry->forward->expected(Slot::input).fits(x)) return entry;
        return nullptr;
    }

    Reference<UsageGuard> guard_;
    py::object gradients_;
    Counters counters_;
    Configuration configuration_;
    std::vector<std::shared_ptr<Entry>> entries_;
    // The pass under way.
    std::shared_ptr<Entry> pending_;
    py::object x_;
    index_t version_ = 0;
    Run run_;
};

// What `optimizer.update()` calls first.
class UpdateReplay {
  public:
    // guards: of the models that are updated; updates and last_rate: (1,); watched: the optimizer.
    UpdateReplay(Reference<Capture> capture, py::handle guards, SharedNumbers<std::int64_t> updates,
                 SharedNumbers<double> last_rate, Configuration watched)
        : capture_(std::move(capture)),
          updates_(std::move(updates)),
          last_rate_(std::move(last_rate)),
          recorded_updates_(*updates_),
          configuration_(std::move(watched)) {
        for_each(guards, [&](py::handle guard) { guards_.emplace_back(guard); });
    }

    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // The norm, 0 without a limit; below 0 where the layers have to say what is wrong.
    double update(double rate, double grad_scale, double clip_norm) {
        if (!current() || !std::isfinite(rate)) return -1;
        Run run;
        run.rate = rate;
        run.grad_scale = grad_scale;
        run.updates = *updates_ - recorded_updates_;
        double norm = 0;
        bool fine = true;
        run_released(capture_->long_enough(), [&] {
            if (clip_norm > 0) {
                capture_->program().run(replay::Phase::norm, run);
                norm = std::sqrt(run.number);
                fine = std::isfinite(norm);
                if (norm > clip_norm) run.grad_scale *= clip_norm / norm;
            }
            if (fine) capture_->program().run(replay::Phase::update, run);
        });
        if (!fine) return -1;
        for (const auto& guard : guards_) guard->parameters_changed();
        ++*updates_;
        *last_rate_ = rate;
        return norm;
    }

  private:
    Reference<Capture> capture_;
    std::vector<Reference<UsageGuard>> guards_;
    SharedNumbers<std::int64_t> updates_;
    SharedNumbers<double> last_rate_;
    std::int64_t recorded_updates_;
    Configuration configuration_;
};

}  // namespace

void bind_loop_replay(py::handle m) {
    define_type<PassReplay, Reference<UsageGuard>, py::object, Counters, Configuration>(
        m, "PassReplay(guard, gradients, counters, watched)",
        {method<&PassReplay::add>("add(forward, outputs)"),
         method<&PassReplay::add_backward>("add_backward(backward, need_dx, accumulate)"),
         method<&PassReplay::fits>("fits(x)"), method<&PassReplay::renew>("renew()"),
         method<&PassReplay::forget>("forget()"), method<&PassReplay::forward>("forward(x, stepping=False)"),
         method<&PassReplay::backward>("backward(dy, need_dx, accumulate, stepping=False)")},
        {property<&PassReplay::current>("current"), property<&PassReplay::pending>("pending"),
         property<&PassReplay::batch>("batch"), property<&PassReplay::version>("version"),
         property<&PassReplay::forwards>("forwards")});
    define_type<UpdateReplay, Reference<Capture>, py::handle, SharedNumbers<std::int64_t>, SharedNumbers<double>,
                Configuration>(
        m, "UpdateReplay(capture, guards, updates, last_rate, watched)",
        {method<&UpdateReplay::renew>("renew()"), method<&UpdateReplay::update>("update(rate, grad_scale, clip_norm)")},
        {property<&UpdateReplay::current>("current")});
}

}  // namespace relu_layers::bindings
