// Replaying the parts of a loop that is not the trainer's: a model's training forward and its backward, and an
// optimizer's update, each one call.
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/capture.h"
#include "bindings/guard.h"
#include "bindings/object.h"
#include "bindings/watched.h"

namespace relu_layers::bindings {
namespace {

constexpr std::size_t most_shapes = 8;

// A number of an array that Python and the replay share.
template <class T>
T* shared(py::handle array) {
    if (!is_array(array.ptr())) throw py::type_error("expected an array");
    return reinterpret_cast<T*>(struct_of(array.ptr())->data);
}

template <class Run>
void run_released(bool releases, Run&& run) {
    if (!releases) return run();
    const ReleasedGil released;
    run();
}

// What `model.forward(x, training=True)` and `model.backward(dy)` call first. A workspace serves one pass at a time: the
// latest.
class PassReplay {
  public:
    // gradients: of the whole model; counters: of the masks of dropout, a list of uint64 (1,); watched: the layers.
    PassReplay(py::handle guard, py::handle gradients, py::handle counters, py::handle watched)
        : guard_object_(py::reinterpret_borrow<py::object>(guard)),
          guard_(object_of<UsageGuard>(guard)),
          gradients_(py::reinterpret_borrow<py::object>(gradients)),
          configuration_(watched) {
        for (const py::handle counter : py::reinterpret_borrow<py::list>(counters)) {
            kept_.push_back(py::reinterpret_borrow<py::object>(counter));
            counters_.push_back(shared<std::uint64_t>(counter));
        }
    }

    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // outputs: where the forward leaves y.
    void add(py::handle forward, py::handle outputs) {
        auto entry = std::make_shared<Entry>();
        entry->forward = program_of(forward);
        entry->outputs = py::reinterpret_borrow<py::object>(outputs);
        for (const std::uint64_t* counter : counters_) entry->counters.push_back(*counter);
        entries_.insert(entries_.begin(), entry);
        if (entries_.size() > most_shapes) entries_.pop_back();
    }
    // A backward of the pass under way.
    void add_backward(py::handle backward, bool need_dx, bool accumulate) {
        if (pending_) pending_->backward[variant(need_dx, accumulate)] = program_of(backward);
    }
    bool fits(py::handle x) const { return fitting(x.ptr()) != nullptr; }

    // y, or None where the layers have to be run.
    py::object forward(py::handle x) {
        forget();
        if (!current() || !guard_.may_step()) return py::none();
        const std::shared_ptr<Entry> entry = fitting(x.ptr());
        if (entry == nullptr || overlap(x.ptr(), gradients_.ptr()) || !in_step(*entry)) return py::none();
        const Capture& capture = *entry->forward.capture;
        Held held;
        if (capture.long_enough()) held.hold(x.ptr());
        PyObject* const outputs = entry->outputs.ptr();
        const auto* like = struct_of(outputs);
        index_t dims[max_ndim];
        for (int i = 0; i < like->nd; ++i) dims[i] = like->dimensions[i];
        py::object y = new_array(dtype_of(outputs)->type_num, like->nd, dims);
        const index_t bytes = bytes_of(outputs);
        now_ = Moment();
        capture.place(now_, Slot::input, x.ptr());
        now_.forwards = counters_.empty() ? 0 : *counters_[0] - entry->counters[0];
        const InUse in_use(guard_);
        run_released(capture.long_enough() && held, [&] {
            capture.program().run(replay::Phase::forward, now_);
            std::memcpy(struct_of(y.ptr())->data, like->data, static_cast<std::size_t>(bytes));
        });
        for (std::uint64_t* counter : counters_) ++*counter;
        pending_ = entry;
        x_ = py::reinterpret_borrow<py::object>(x);
        version_ = guard_.version();
        return y;
    }

    // dx, or None without need_dx; False where the layers have to be run.
    py::object backward(py::handle dy, bool need_dx, bool accumulate) {
        const std::shared_ptr<Entry> entry = pending_;
        const py::object undone = py::bool_(false);
        if (entry == nullptr || !current() || !guard_.may_step() || version_ != guard_.version()) return undone;
        const Recorded& recorded = entry->backward[variant(need_dx, accumulate)];
        if (recorded.capture == nullptr) return undone;
        const Capture& capture = *recorded.capture;
        if (!capture.expected(Slot::input).fits(x_.ptr()) || !capture.expected(Slot::target).fits(dy.ptr()) ||
            overlap(dy.ptr(), gradients_.ptr()))
            return undone;
        Held held;
        if (capture.long_enough())
            for (PyObject* array : {x_.ptr(), dy.ptr()}) held.hold(array);
        const Expected& expected = capture.expected(Slot::output);
        py::object dx = need_dx ? new_array(expected.type, expected.ndim, expected.dims) : py::none();
        Moment now = now_;
        capture.place(now, Slot::input, x_.ptr());
        capture.place(now, Slot::target, dy.ptr());
        capture.place(now, Slot::output, dx.ptr());
        const InUse in_use(guard_);
        run_released(capture.long_enough() && held, [&] { capture.program().run(replay::Phase::backward, now); });
        forget();
        return dx;
    }

    // Whether a forward waits for its backward, its batch, and how many forwards there were since it was recorded.
    bool pending() const { return pending_ != nullptr; }
    py::object batch() const { return x_ ? x_ : py::none(); }
    index_t version() const { return version_; }
    index_t forwards() const { return static_cast<index_t>(now_.forwards); }
    void forget() {
        pending_.reset();
        x_ = py::object();
    }

  private:
    struct Recorded {
        py::object object;
        const Capture* capture = nullptr;
    };
    struct Entry {
        Recorded forward;
        Recorded backward[4];
        py::object outputs;
        std::vector<std::uint64_t> counters;  // when it was recorded
    };
    // The model as this thread's alone.
    class InUse {
      public:
        explicit InUse(UsageGuard& guard) : guard_(guard) { guard_.begin_training(); }
        ~InUse() { guard_.end_training(); }
        InUse(const InUse&) = delete;
        InUse& operator=(const InUse&) = delete;

      private:
        UsageGuard& guard_;
    };

    static std::size_t variant(bool need_dx, bool accumulate) { return (need_dx ? 2u : 0u) + (accumulate ? 1u : 0u); }
    static Recorded program_of(py::handle capture) {
        return {py::reinterpret_borrow<py::object>(capture), &object_of<Capture>(capture)};
    }
    std::shared_ptr<Entry> fitting(PyObject* x) const {
        for (const auto& entry : entries_)
            if (entry->forward.capture->expected(Slot::input).fits(x)) return entry;
        return nullptr;
    }
    // Whether the masks' counters have advanced together since the recording.
    bool in_step(const Entry& entry) const {
        for (std::size_t i = 1; i < counters_.size(); ++i)
            if (*counters_[i] - entry.counters[i] != *counters_[0] - entry.counters[0]) return false;
        return true;
    }

    py::object guard_object_;
    UsageGuard& guard_;
    py::object gradients_;
    std::vector<py::object> kept_;
    std::vector<std::uint64_t*> counters_;
    Configuration configuration_;
    std::vector<std::shared_ptr<Entry>> entries_;
    // The pass under way.
    std::shared_ptr<Entry> pending_;
    py::object x_;
    index_t version_ = 0;
    Moment now_;
};

// What `optimizer.update()` calls first.
class UpdateReplay {
  public:
    // guards: of the models that are updated; updates: int64 (1,); last_rate: float64 (1,); watched: the optimizer.
    UpdateReplay(py::handle capture, py::handle guards, py::handle updates, py::handle last_rate, py::handle watched)
        : capture_object_(py::reinterpret_borrow<py::object>(capture)),
          capture_(object_of<Capture>(capture)),
          updates_object_(py::reinterpret_borrow<py::object>(updates)),
          last_rate_object_(py::reinterpret_borrow<py::object>(last_rate)),
          updates_(shared<std::int64_t>(updates)),
          last_rate_(shared<double>(last_rate)),
          recorded_updates_(*updates_),
          configuration_(watched) {
        for (const py::handle guard : py::reinterpret_borrow<py::list>(guards)) {
            kept_.push_back(py::reinterpret_borrow<py::object>(guard));
            guards_.push_back(&object_of<UsageGuard>(guard));
        }
    }

    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // The norm, 0 without a limit; below 0 where the layers have to say what is wrong.
    double update(double rate, double grad_scale, double clip_norm) {
        if (!current() || !std::isfinite(rate)) return -1;
        Moment now;
        now.rate = rate;
        now.grad_scale = grad_scale;
        now.updates = *updates_ - recorded_updates_;
        double norm = 0;
        bool fine = true;
        run_released(capture_.long_enough(), [&] {
            if (clip_norm > 0) {
                capture_.program().run(replay::Phase::norm, now);
                norm = std::sqrt(now.number);
                fine = std::isfinite(norm);
                if (norm > clip_norm) now.grad_scale *= clip_norm / norm;
            }
            if (fine) capture_.program().run(replay::Phase::update, now);
        });
        if (!fine) return -1;
        for (UsageGuard* guard : guards_) guard->parameters_changed();
        ++*updates_;
        *last_rate_ = rate;
        return norm;
    }

  private:
    py::object capture_object_;
    const Capture& capture_;
    py::object updates_object_;
    py::object last_rate_object_;
    std::vector<py::object> kept_;
    std::vector<UsageGuard*> guards_;
    std::int64_t* updates_;
    double* last_rate_;
    std::int64_t recorded_updates_;
    Configuration configuration_;
};

}  // namespace

void bind_loop_replay(py::module_& m) {
    define_type<PassReplay, py::handle, py::handle, py::handle, py::handle>(
        m, "PassReplay(guard, gradients, counters, watched)",
        {method<&PassReplay::add>("add(forward, outputs)"),
         method<&PassReplay::add_backward>("add_backward(backward, need_dx, accumulate)"),
         method<&PassReplay::fits>("fits(x)"), method<&PassReplay::renew>("renew()"),
         method<&PassReplay::forget>("forget()"), method<&PassReplay::forward>("forward(x)"),
         method<&PassReplay::backward>("backward(dy, need_dx, accumulate)")},
        {property<&PassReplay::current>("current"), property<&PassReplay::pending>("pending"),
         property<&PassReplay::batch>("batch"), property<&PassReplay::version>("version"),
         property<&PassReplay::forwards>("forwards")});
    define_type<UpdateReplay, py::handle, py::handle, py::handle, py::handle, py::handle>(
        m, "UpdateReplay(capture, guards, updates, last_rate, watched)",
        {method<&UpdateReplay::renew>("renew()"), method<&UpdateReplay::update>("update(rate, grad_scale, clip_norm)")},
        {property<&UpdateReplay::current>("current")});
}

}  // namespace relu_layers::bindings
