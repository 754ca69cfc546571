// Replaying the steps of one trainer: what `trainer.step` calls first, and what `fit` runs many steps with.
#include <cmath>
#include <memory>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/capture.h"
#include "bindings/fastcall.h"
#include "bindings/guard.h"
#include "replay/training.h"

namespace relu_layers::bindings {
namespace {

using replay::Outcome;
using replay::Training;

constexpr Slot batch_slots[] = {Slot::input, Slot::target, Slot::sample_weight};

template <class T>
T* data_of(const py::array& array) {
    return static_cast<T*>(const_cast<void*>(array.data()));
}

class TrainingReplay {
  public:
    // progress: int64 (steps, summed); updates: int64 (1,); last_rate: float64 (1,); counters: uint64 (1,) each.
    TrainingReplay(py::object guard, py::array gradients, const py::object& sum, py::array progress, py::array updates,
                   py::array last_rate, py::object schedule, const py::object& constant_rate, double clip_norm,
                   std::int64_t accumulate, const py::list& counters)
        : guard_object_(std::move(guard)),
          guard_(guard_object_.cast<UsageGuard*>()),
          gradients_(std::move(gradients)),
          schedule_(std::move(schedule)),
          constant_(!constant_rate.is_none()),
          rate_(constant_ ? constant_rate.cast<double>() : 0),
          configuration_(configuration) {
        kept_ = {progress, updates, last_rate};
        auto* counts = data_of<std::int64_t>(progress);
        training_.progress = {counts, counts + 1, data_of<std::int64_t>(updates), data_of<double>(last_rate)};
        training_.gradients = data_of<std::byte>(gradients_);
        training_.gradient_bytes = static_cast<std::size_t>(gradients_.nbytes());
        if (!sum.is_none()) {
            kept_.push_back(sum);
            training_.sum = data_of<std::byte>(py::reinterpret_borrow<py::array>(sum));
        }
        training_.clip_norm = clip_norm;
        training_.accumulate = accumulate;
        for (const py::handle counter : counters) {
            kept_.push_back(py::reinterpret_borrow<py::object>(counter));
            training_.counters.push_back(data_of<std::uint64_t>(py::reinterpret_borrow<py::array>(counter)));
        }
    }

    void add(py::object capture) {
        Entry entry;
        entry.capture = capture.cast<Capture*>();
        entry.object = std::move(capture);
        entry.updates = *training_.progress.updates;
        for (const std::uint64_t* counter : training_.counters) entry.counters.push_back(*counter);
        entries_.insert(entries_.begin(), std::move(entry));
        if (entries_.size() > most_entries) entries_.pop_back();
    }
    // The capture that fits a batch, or None.
    py::object find(py::handle x, py::handle y, py::handle sample_weight) {
        for (const Entry& entry : entries_)
            if (entry.fits(x.ptr(), y.ptr(), sample_weight.ptr())) return entry.object;
        return py::none();
    }
    bool current() const { return configuration_ == configuration; }
    void renew() { configuration_ = configuration; }

    // The loss of the step, or None, with everything as before, where only the layers themselves can tell what is to
    // be done: nothing fits, an argument is wrong, a number is not finite.
    PyObject* step(PyObject* x, PyObject* y, PyObject* sample_weight) {
        if (configuration_ != configuration || !guard_->may_train()) Py_RETURN_NONE;
        Entry* entry = nullptr;
        for (Entry& candidate : entries_) {
            if (!candidate.fits(x, y, sample_weight)) continue;
            entry = &candidate;
            break;
        }
        if (entry == nullptr || !prepare(*entry) || touches_gradients(x) || touches_gradients(y)) Py_RETURN_NONE;
        double rate = rate_;
        if (!constant_ && !scheduled_rate(*training_.progress.updates, rate)) Py_RETURN_NONE;
        Moment now;
        const Capture& capture = *entry->capture;
        capture.place(now, Slot::input, x);
        capture.place(now, Slot::target, y);
        capture.place(now, Slot::sample_weight, sample_weight);
        Outcome outcome;
        if (capture.long_enough()) {
            Held held;
            for (PyObject* array : {x, y, sample_weight})
                if (array != Py_None) held.hold(array);
            const UsageGuard::Training training(*guard_);
            const ReleasedGil released;
            outcome = replay::step(training_, now, rate, false);
        } else {
            outcome = replay::step(training_, now, rate, false);
        }
        if (outcome != Outcome::done) Py_RETURN_NONE;
        return PyFloat_FromDouble(now.number);
    }

    // Steps through rows [first_row, first_row + steps * rows) of the arrays, in the given order or as they lie, until
    // they are done or `seconds` are over. Returns how many are done, how many predictions in them were right, and the
    // sum of their penalties. Where
    // it is fewer than time allowed, the next step has to run in the layers themselves.
    py::tuple stretch(py::handle capture_object, py::handle x, py::handle y, py::handle sample_weight,
                      const py::object& order, index_t first_row, index_t rows, index_t steps, double seconds,
                      bool close_last, const py::array& losses) {
        const PyObject* sources[] = {x.ptr(), y.ptr(), sample_weight.ptr()};
        const auto* capture = capture_object.cast<Capture*>();
        Entry* entry = nullptr;
        for (Entry& candidate : entries_)
            if (candidate.capture == capture) entry = &candidate;
        replay::Stretch stretch{};
        bool fits = entry != nullptr && guard_->may_train() && configuration_ == configuration && prepare(*entry);
        for (std::size_t i = 0; i < 3 && fits; ++i) {
            auto* array = const_cast<PyObject*>(sources[i]);
            const Expected& expected = capture->expected(batch_slots[i]);
            fits = expected.fits_rows(array) && (array == Py_None || !touches_gradients(array));
            if (!fits || array == Py_None) continue;
            const auto* proxy = py::detail::array_proxy(array);
            fits = first_row + rows * steps <= proxy->dimensions[0] && rows == expected.dims[0];
            stretch.sources[i] = {reinterpret_cast<const std::byte*>(proxy->data),
                                  reinterpret_cast<std::byte*>(const_cast<char*>(capture->recorded(batch_slots[i]))),
                                  expected.row_bytes};
        }
        std::vector<double> rates(1, rate_);
        if (fits && !constant_) fits = scheduled_rates(steps, rates);
        if (!fits || steps < 1) return py::make_tuple(0, 0, 0.0);
        if (!order.is_none())
            stretch.order = static_cast<const index_t*>(py::reinterpret_borrow<py::array>(order).data());
        stretch.first_row = first_row;
        stretch.rows = rows;
        stretch.steps = steps;
        stretch.seconds = seconds;
        stretch.rates = rates.data();
        stretch.one_rate = constant_;
        stretch.close_last = close_last;
        stretch.losses = data_of<double>(losses);
        Outcome outcome = Outcome::done;
        index_t done = 0;
        const auto run = [&] { done = replay::run(training_, stretch, outcome); };
        if (double(steps) * capture->work() > work_worth_releasing) {
            Held held;
            for (const PyObject* array : sources)
                if (array != Py_None) held.hold(const_cast<PyObject*>(array));
            const UsageGuard::Training training(*guard_);
            const ReleasedGil released;
            run();
        } else {
            run();
        }
        return py::make_tuple(done, stretch.correct, stretch.penalty);
    }

  private:
    static constexpr std::size_t most_entries = 8;

    struct Entry {
        py::object object;
        Capture* capture = nullptr;
        std::int64_t updates = 0;             // when it was recorded
        std::vector<std::uint64_t> counters;  // likewise

        bool fits(PyObject* x, PyObject* y, PyObject* sample_weight) const {
            return capture->expected(Slot::input).fits(x) && capture->expected(Slot::target).fits(y) &&
                   capture->expected(Slot::sample_weight).fits(sample_weight);
        }
    };

    bool touches_gradients(PyObject* array) const { return overlap(array, gradients_.ptr()); }

    // False where the recorded numbers no longer say what the objects hold.
    bool prepare(const Entry& entry) {
        for (std::size_t i = 1; i < entry.counters.size(); ++i)
            if (*training_.counters[i] - entry.counters[i] != *training_.counters[0] - entry.counters[0]) return false;
        if (*training_.progress.summed > 0 && training_.sum == nullptr) return false;
        training_.program = &entry.capture->program();
        training_.recorded_updates = entry.updates;
        training_.recorded_counter = entry.counters.empty() ? 0 : entry.counters[0];
        return true;
    }

    bool scheduled_rate(std::int64_t updates, double& rate) const {
        try {
            rate = schedule_(updates).cast<double>();
            return std::isfinite(rate);
        } catch (py::error_already_set&) {
            return false;
        } catch (py::cast_error&) {
            return false;
        }
    }
    // A rate for every update of the next steps, fewer of them where one cannot be had.
    bool scheduled_rates(index_t& steps, std::vector<double>& rates) const {
        const std::int64_t accumulate = training_.accumulate;
        const std::int64_t updates = (*training_.progress.summed + steps) / accumulate + 1;
        rates.assign(static_cast<std::size_t>(updates), 0);
        for (std::size_t i = 0; i < rates.size(); ++i) {
            if (scheduled_rate(*training_.progress.updates + static_cast<std::int64_t>(i), rates[i])) continue;
            steps = 1;
            return i > 0;
        }
        return true;
    }

    py::object guard_object_;
    UsageGuard* guard_;
    py::array gradients_;
    py::object schedule_;
    bool constant_;
    double rate_;
    std::int64_t configuration_;
    std::vector<py::object> kept_;
    Training training_;
    std::vector<Entry> entries_;
};

PyObject* step(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "step: expected x, y, sample_weight");
        return nullptr;
    }
    return translated(
        [=] { return static_cast<TrainingReplay*>(pointer_of(self))->step(arguments[0], arguments[1], arguments[2]); });
}

PyMethodDef step_definition = {"step", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&step)),
                               METH_FASTCALL, nullptr};

}  // namespace

void bind_training_replay(py::module_& m) {
    using py::arg;
    py::class_<TrainingReplay>(m, "TrainingReplay")
        .def(py::init<py::object, py::array, py::object, py::array, py::array, py::array, py::object, py::object,
                      double, std::int64_t, py::list>(),
             arg("guard"), arg("gradients"), arg("sum"), arg("progress"), arg("updates"), arg("last_rate"),
             arg("schedule"), arg("constant_rate"), arg("clip_norm"), arg("accumulate"), arg("counters"))
        .def("add", &TrainingReplay::add, arg("capture"))
        .def("find", &TrainingReplay::find, arg("x"), arg("y"), arg("sample_weight"))
        .def("renew", &TrainingReplay::renew)
        .def_property_readonly("current", &TrainingReplay::current)
        .def_property_readonly(
            "step", [](const py::object& self) { return builtin(step_definition, self, self.cast<TrainingReplay*>()); })
        .def("stretch", &TrainingReplay::stretch, arg("capture"), arg("x"), arg("y"), arg("sample_weight"),
             arg("order"), arg("first_row"), arg("rows"), arg("steps"), arg("seconds"), arg("close_last"),
             arg("losses"));
}

}  // namespace relu_layers::bindings
