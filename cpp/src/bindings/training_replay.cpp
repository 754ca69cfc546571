// Replaying the steps of one trainer: what `trainer.step` calls first, and what `fit` runs many steps with.
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/capture.h"
#include "bindings/guard.h"
#include "bindings/object.h"
#include "replay/training.h"

namespace relu_layers::bindings {
namespace {

using replay::Outcome;
using replay::Training;

constexpr Slot batch_slots[] = {Slot::input, Slot::target, Slot::sample_weight};

// The numbers of an array that Python and the replay share.
template <class T>
T* data_of(py::handle array) {
    if (!is_array(array.ptr())) throw py::type_error("TrainingReplay: expected an array");
    return reinterpret_cast<T*>(struct_of(array.ptr())->data);
}

class TrainingReplay {
  public:
    // progress: int64 (steps, summed); updates: int64 (1,); last_rate: float64 (1,); counters: a list of uint64 (1,).
    TrainingReplay(py::handle guard, py::handle gradients, py::handle sum, py::handle progress, py::handle updates,
                   py::handle last_rate, py::handle schedule, py::handle constant_rate, double clip_norm,
                   index_t accumulate, py::handle counters)
        : guard_(object_of<UsageGuard>(guard)),
          gradients_(gradients.ptr()),
          schedule_(schedule.ptr()),
          constant_(!constant_rate.is_none()),
          rate_(constant_ ? from_python<double>(constant_rate.ptr()) : 0),
          configuration_(configuration) {
        for (const py::handle object : {guard, gradients, sum, progress, updates, last_rate, schedule, counters})
            kept_.push_back(py::reinterpret_borrow<py::object>(object));
        auto* counts = data_of<std::int64_t>(progress);
        training_.progress = {counts, counts + 1, data_of<std::int64_t>(updates), data_of<double>(last_rate)};
        training_.gradients = data_of<std::byte>(gradients);
        training_.gradient_bytes = static_cast<std::size_t>(bytes_of(gradients_));
        if (!sum.is_none()) training_.sum = data_of<std::byte>(sum);
        training_.clip_norm = clip_norm;
        training_.accumulate = accumulate;
        for (const py::handle counter : py::reinterpret_borrow<py::list>(counters)) {
            kept_.push_back(py::reinterpret_borrow<py::object>(counter));
            counters_.push_back(data_of<std::uint64_t>(counter));
        }
        training_.counters = counters_.data();
        training_.counter_count = counters_.size();
    }

    void add(py::handle capture) {
        auto entry = std::make_shared<Entry>();
        entry->object = py::reinterpret_borrow<py::object>(capture);
        entry->capture = &object_of<Capture>(capture);
        entry->updates = *training_.progress.updates;
        for (const std::uint64_t* counter : counters_) entry->counters.push_back(*counter);
        entries_.insert(entries_.begin(), std::move(entry));
        if (entries_.size() > most_entries) entries_.pop_back();
    }
    // The capture that fits a batch, or None.
    py::object find(py::handle x, py::handle y, py::handle sample_weight) {
        const auto entry = fitting({x.ptr(), y.ptr(), sample_weight.ptr()});
        return entry == nullptr ? py::none() : entry->object;
    }
    bool current() const { return configuration_ == configuration; }
    void renew() { configuration_ = configuration; }

    // The loss of the step, or None, with everything as before, where only the layers themselves can tell what is to
    // be done: nothing fits, an argument is wrong, a number is not finite, the model is in use. The model becomes this
    // step's own first; then comes what may run Python code, which may do anything to this object and to the arrays;
    // then what is run is looked up.
    py::object step(py::handle x, py::handle y, py::handle sample_weight) {
        const Batch batch = {x.ptr(), y.ptr(), sample_weight.ptr()};
        if (!current() || !guard_.may_step()) return py::none();
        std::shared_ptr<const Entry> entry = fitting(batch);
        if (entry == nullptr) return py::none();
        const UsageGuard::Step in_use(guard_);
        Held held;
        if (entry->capture->long_enough()) hold(held, batch);
        double rate = rate_;
        if (!constant_ && !scheduled_rate(*training_.progress.updates, rate)) return py::none();
        Number loss;
        entry = fitting(batch);
        if (!current() || entry == nullptr || touch_gradients(batch)) return py::none();
        Training training;
        if (!prepare(training, *entry)) return py::none();
        const Capture& capture = *entry->capture;
        Moment now;
        for (std::size_t i = 0; i < 3; ++i) capture.place(now, batch_slots[i], batch[i]);
        Outcome outcome;
        // Without what was not held above the arrays stay under the GIL.
        if (capture.long_enough() && held) {
            const ReleasedGil released;
            outcome = replay::step(training, now, rate, false);
        } else {
            outcome = replay::step(training, now, rate, false);
        }
        if (outcome != Outcome::done) return py::none();
        loss.set(now.number);
        return loss.take();
    }

    // Steps through rows [first_row, first_row + steps * rows) of the arrays, in the given order or as they lie, until
    // they are done or `seconds` are over, and stores the loss and the penalty of each. Returns how many are done, and
    // how many predictions in them were right. Where it is fewer than time allowed, the next step has to run in the
    // layers themselves. The order of things is that of step().
    py::object stretch(py::handle capture_object, py::handle x, py::handle y, py::handle sample_weight,
                       py::handle order, index_t first_row, index_t rows, index_t steps, double seconds,
                       bool close_last, py::handle losses, py::handle penalties) {
        const Batch sources = {x.ptr(), y.ptr(), sample_weight.ptr()};
        const Capture& capture = object_of<Capture>(capture_object);
        replay::Stretch stretch{};
        stretch.first_row = first_row;
        stretch.rows = rows;
        stretch.steps = steps;
        stretch.seconds = seconds;
        stretch.one_rate = constant_;
        index_t done = 0;
        if (steps > 0 && current() && guard_.may_step() && entry_of(capture) != nullptr) {
            const UsageGuard::Step in_use(guard_);
            Held held;
            hold(held, sources);
            for (const py::handle array : {order, losses, penalties})
                if (!array.is_none()) held.hold(array.ptr());
            std::vector<double> rates(1, rate_);
            const bool rated = constant_ || scheduled_rates(stretch.steps, rates);
            const std::shared_ptr<const Entry> entry = entry_of(capture);
            Training training;
            if (rated && current() && entry != nullptr && prepare(training, *entry) &&
                locate(stretch, capture, sources)) {
                stretch.rates = rates.data();
                stretch.close_last = close_last && stretch.steps == steps;
                stretch.order = order.is_none() ? nullptr : data_of<index_t>(order);
                stretch.losses = data_of<double>(losses);
                stretch.penalties = data_of<double>(penalties);
                Outcome outcome = Outcome::done;
                if (double(stretch.steps) * capture.work() > work_worth_releasing) {
                    const ReleasedGil released;
                    done = replay::run(training, stretch, outcome);
                } else {
                    done = replay::run(training, stretch, outcome);
                }
            }
        }
        return owned(Py_BuildValue("nn", done, stretch.correct));
    }

    // The two halves of a step, between which several processes add their gradients. gradient() fills the gradients
    // from `rows` rows from first_row on, in the given order or as they lie, and returns the loss, how many
    // predictions were right, and the penalty. The counters of dropout stay. None is what it is for step().
    py::object gradient(py::handle capture_object, py::handle x, py::handle y, py::handle sample_weight,
                        py::handle order, index_t first_row, index_t rows) {
        const Batch sources = {x.ptr(), y.ptr(), sample_weight.ptr()};
        const Capture& capture = object_of<Capture>(capture_object);
        const std::shared_ptr<const Entry> entry = entry_of(capture);
        if (!current() || !guard_.may_step() || entry == nullptr) return py::none();
        const UsageGuard::Step in_use(guard_);
        Held held;
        hold(held, sources);
        if (!order.is_none()) held.hold(order.ptr());
        replay::Stretch stretch{};
        stretch.first_row = first_row;
        stretch.rows = rows;
        stretch.steps = 1;
        Training training;
        if (!prepare(training, *entry) || !locate(stretch, capture, sources)) return py::none();
        stretch.order = order.is_none() ? nullptr : data_of<index_t>(order);
        Moment now;
        Outcome outcome;
        if (capture.long_enough()) {
            const ReleasedGil released;
            outcome = replay::gradient(training, stretch, now);
        } else {
            outcome = replay::gradient(training, stretch, now);
        }
        if (outcome != Outcome::done) return py::none();
        return owned(Py_BuildValue("dnd", now.number, now.correct, now.penalty));
    }

    // Updates from the gradients, the sum of those of `count` minibatches, and counts the update; false, with
    // everything as before, where the layers have to do it.
    bool update(py::handle capture_object, index_t count) {
        const Capture& capture = object_of<Capture>(capture_object);
        if (!current() || !guard_.may_step() || entry_of(capture) == nullptr) return false;
        const UsageGuard::Step in_use(guard_);
        double rate = rate_;
        if (!constant_ && !scheduled_rate(*training_.progress.updates, rate)) return false;
        const std::shared_ptr<const Entry> entry = entry_of(capture);
        Training training;
        if (!current() || entry == nullptr || !prepare(training, *entry)) return false;
        Moment now;
        if (!capture.long_enough()) return replay::update(training, now, rate, count) == Outcome::done;
        const ReleasedGil released;
        return replay::update(training, now, rate, count) == Outcome::done;
    }

  private:
    static constexpr std::size_t most_entries = 8;

    // Input, target and sample weight, None for none.
    using Batch = std::array<PyObject*, 3>;

    struct Entry {
        py::object object;
        const Capture* capture = nullptr;
        std::int64_t updates = 0;             // when it was recorded
        std::vector<std::uint64_t> counters;  // likewise

        bool fits(const Batch& batch) const {
            for (std::size_t i = 0; i < 3; ++i)
                if (!capture->expected(batch_slots[i]).fits(batch[i])) return false;
            return true;
        }
    };

    std::shared_ptr<const Entry> fitting(const Batch& batch) const {
        for (const auto& entry : entries_)
            if (entry->fits(batch)) return entry;
        return nullptr;
    }
    std::shared_ptr<const Entry> entry_of(const Capture& capture) const {
        for (const auto& entry : entries_)
            if (entry->capture == &capture) return entry;
        return nullptr;
    }

    static void hold(Held& held, const Batch& batch) {
        for (PyObject* array : batch)
            if (array != Py_None) held.hold(array);
    }
    bool touch_gradients(const Batch& batch) const {
        for (PyObject* array : batch)
            if (array != Py_None && overlap(array, gradients_)) return true;
        return false;
    }

    // False where the recorded numbers no longer say what the objects hold.
    bool prepare(Training& training, const Entry& entry) const {
        for (std::size_t i = 1; i < counters_.size(); ++i)
            if (*counters_[i] - entry.counters[i] != *counters_[0] - entry.counters[0]) return false;
        if (*training_.progress.summed > 0 && training_.sum == nullptr) return false;
        training = training_;
        training.program = &entry.capture->program();
        training.recorded_updates = entry.updates;
        training.recorded_counter = entry.counters.empty() ? 0 : entry.counters[0];
        return true;
    }

    // Fills in where the rows of the stretch come from; false where the arrays are not what the capture was made for.
    bool locate(replay::Stretch& stretch, const Capture& capture, const Batch& sources) const {
        if (touch_gradients(sources)) return false;
        for (std::size_t i = 0; i < 3; ++i) {
            const Expected& expected = capture.expected(batch_slots[i]);
            if (!expected.fits_rows(sources[i])) return false;
            if (sources[i] == Py_None) continue;
            const auto* proxy = struct_of(sources[i]);
            if (stretch.first_row + stretch.rows * stretch.steps > proxy->dimensions[0] ||
                stretch.rows != expected.dims[0])
                return false;
            stretch.sources[i] = {reinterpret_cast<const std::byte*>(proxy->data),
                                  reinterpret_cast<std::byte*>(const_cast<char*>(capture.recorded(batch_slots[i]))),
                                  expected.row_bytes};
        }
        return true;
    }

    // What is no finite number of at least 0 is left to the layers, which also know what to say about it.
    bool scheduled_rate(std::int64_t updates, double& rate) const {
        const py::object number = owned(PyObject_CallFunction(schedule_, "L", static_cast<long long>(updates)));
        rate = PyFloat_AsDouble(number.ptr());
        if (PyErr_Occurred() == nullptr) return rate >= 0 && std::isfinite(rate);
        PyErr_Clear();
        return false;
    }
    // A rate for every update of the next steps, fewer of them where one cannot be had.
    bool scheduled_rates(index_t& steps, std::vector<double>& rates) const {
        const std::int64_t updates = (*training_.progress.summed + steps) / training_.accumulate + 1;
        rates.assign(static_cast<std::size_t>(updates), 0);
        for (std::size_t i = 0; i < rates.size(); ++i) {
            try {
                if (scheduled_rate(*training_.progress.updates + static_cast<std::int64_t>(i), rates[i])) continue;
            } catch (const Raised&) {
                // An error that is due later will come again when its step is the next.
                if (i == 0 || PyErr_ExceptionMatches(PyExc_Exception) == 0) throw;
                PyErr_Clear();
            }
            steps = 1;
            return i > 0;
        }
        return true;
    }

    std::vector<py::object> kept_;
    UsageGuard& guard_;
    PyObject* gradients_;
    PyObject* schedule_;
    bool constant_;
    double rate_;
    std::int64_t configuration_;
    std::vector<std::uint64_t*> counters_;
    Training training_;  // without what differs from capture to capture
    std::vector<std::shared_ptr<const Entry>> entries_;
};

}  // namespace

void bind_training_replay(py::module_& m) {
    define_type<TrainingReplay, py::handle, py::handle, py::handle, py::handle, py::handle, py::handle, py::handle,
                py::handle, double, index_t, py::handle>(
        m,
        "TrainingReplay(guard, gradients, sum, progress, updates, last_rate, schedule, constant_rate, clip_norm, "
        "accumulate, counters)",
        {method<&TrainingReplay::add>("add(capture)"), method<&TrainingReplay::find>("find(x, y, sample_weight)"),
         method<&TrainingReplay::renew>("renew()"), method<&TrainingReplay::step>("step(x, y, sample_weight)"),
         method<&TrainingReplay::gradient>("gradient(capture, x, y, sample_weight, order, first_row, rows)"),
         method<&TrainingReplay::update>("update(capture, count)"),
         method<&TrainingReplay::stretch>("stretch(capture, x, y, sample_weight, order, first_row, rows, steps, "
                                          "seconds, close_last, losses, penalties)")},
        {property<&TrainingReplay::current>("current")});
}

}  // namespace relu_layers::bindings
