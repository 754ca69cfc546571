// Replaying the steps of one trainer: what `trainer.step` calls first, and what `fit` runs many steps with.
#include <array>
#include <iterator>
#include <limits>
#include <memory>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/guard.h"
#include "bindings/object.h"
#include "bindings/rate.h"
#include "bindings/shared_numbers.h"
#include "bindings/watched.h"
#include "replay/training.h"

namespace relu_layers::bindings {
namespace {

using replay::Outcome;
using replay::Training;

constexpr Slot batch_slots[] = {Slot::input, Slot::target, Slot::sample_weight, Slot::columns};

// Input, target, sample weight and columns, None for none; borrowed from the arguments of a call.
using Batch = std::array<PyObject*, std::size(batch_slots)>;
static_assert(std::size(batch_slots) == replay::batch_slots);

Batch batch_of(py::handle x, py::handle y, py::handle sample_weight) {
    const Target target(y.ptr());
    return {x.ptr(), target.values, sample_weight.ptr(), target.columns};
}

class TrainingReplay {
  public:
    // sum: None while every minibatch is a group; progress: (steps, summed); updates, last_rate: (1,); constant: the
    // class of constant schedules; clip_norm: (1,), 0 for none.
    TrainingReplay(Reference<UsageGuard> guard, SharedNumbers<std::byte> gradients, SharedNumbers<std::byte> sum,
                   SharedNumbers<std::int64_t> progress, SharedNumbers<std::int64_t> updates,
                   SharedNumbers<double> last_rate, py::object optimizer, py::object constant,
                   SharedNumbers<double> clip_norm, index_t accumulate, Counters counters, Configuration watched)
        : guard_(std::move(guard)),
          gradients_(std::move(gradients)),
          gradient_bytes_(static_cast<std::size_t>(bytes_of(gradients_.array()))),
          sum_(std::move(sum)),
          progress_(std::move(progress)),
          updates_(std::move(updates)),
          last_rate_(std::move(last_rate)),
          rate_(std::move(optimizer), std::move(constant)),
          clip_norm_(std::move(clip_norm)),
          accumulate_(accumulate),
          counters_(std::move(counters)),
          configuration_(std::move(watched)) {}

    void add(Reference<Capture> capture) {
        const Entry entry{std::move(capture), *updates_, counters_.values()};
        entries_.insert(entries_.begin(), std::make_shared<const Entry>(entry));
        if (entries_.size() > most_entries) entries_.pop_back();
    }
    // The capture that fits a batch, or None.
    py::object find(py::handle x, py::handle y, py::handle sample_weight) {
        const auto* const found = fitting(batch_of(x, y, sample_weight));
        return found == nullptr ? py::none() : (*found)->capture.object();
    }
    bool current() const { return configuration_.holds(); }
    void renew() { configuration_.renew(); }

    // The loss of the step, or None, with everything as before, where only the layers themselves can tell what is to
    // be done: nothing fits, an argument is wrong, a number is not finite, the model is in use. The model becomes this
    // step's own first; then comes what may run Python code, which may do anything to this object and to the arrays;
    // then what is run is looked up. A short step whose rate is a number has nothing of the kind: it is looked up once.
    py::object step(py::handle x, py::handle y, py::handle sample_weight) {
        const Batch batch = batch_of(x, y, sample_weight);
        if (!current() || !guard_->may_step()) return py::none();
        const std::shared_ptr<const Entry>* found = fitting(batch);
        if (found == nullptr) return py::none();
        const UsageGuard::Step in_use(*guard_);
        ResizeLock lock;
        std::shared_ptr<const Entry> kept;  // beyond what may drop the captures
        double rate = 0;
        const bool released = (*found)->capture->long_enough();
        if (released || !rate_.number(rate)) {
            if (released) add_to(lock, batch);
            if (!rate_.after(*updates_, rate)) return py::none();
            found = fitting(batch);
            if (!current() || found == nullptr) return py::none();
            kept = *found;
        }
        const Entry& entry = **found;
        if (touch_gradients(batch) || !ready(entry)) return py::none();
        const Training training = training_of(entry);
        Number loss;
        const Capture& capture = *entry.capture;
        Run run;
        for (std::size_t i = 0; i < std::size(batch_slots); ++i) capture.place(run, batch_slots[i], batch[i]);
        // Arrays that were not locked above stay under the GIL.
        const Outcome outcome =
            run_released(capture.long_enough() && lock, [&] { return replay::step(training, run, rate, false); });
        if (outcome != Outcome::done) return py::none();
        loss.set(run.number);
        return loss.take();
    }

    // Steps through rows [first_row, first_row + steps * rows) of the arrays, in the given order or as they lie, until
    // they are done or `seconds` are over. sums, float64 (3,), gets what replay::Stretch says; losses is None or has room
    // for the loss of each step. Returns how many are done, and how many predictions in them were right. Where it is
    // fewer than time allowed, the next step has to run in the layers themselves. The order of things is that of step().
    py::object stretch(const Capture& capture, py::handle x, py::handle y, py::handle sample_weight, py::handle order,
                       index_t first_row, index_t rows, index_t steps, double seconds, bool close_last, double share,
                       py::handle sums, py::handle losses) {
        const Batch sources = batch_of(x, y, sample_weight);
        replay::Stretch stretch{};
        stretch.first_row = first_row;
        stretch.rows = rows;
        stretch.steps = steps;
        stretch.seconds = seconds;
        index_t done = 0;
        if (steps > 0 && current() && guard_->may_step() && entry_of(capture) != nullptr) {
            const UsageGuard::Step in_use(*guard_);
            ResizeLock lock;
            add_to(lock, sources);
            for (const py::handle array : {order, sums, losses}) lock.add(array.ptr());
            std::vector<double> rates(1);
            stretch.one_rate = rate_.constant(rates[0]);
            const bool rated = stretch.one_rate || scheduled_rates(stretch.steps, rates);
            const std::shared_ptr<const Entry> entry = entry_of(capture);
            if (rated && current() && entry != nullptr && ready(*entry) && locate(stretch, capture, sources)) {
                const Training training = training_of(*entry);
                stretch.rates = rates.data();
                stretch.close_last = close_last && stretch.steps == steps;
                stretch.order = SharedNumbers<index_t>(order).data();
                stretch.share = share;
                stretch.sums = SharedNumbers<double>(sums).data();
                stretch.losses = SharedNumbers<double>(losses).data();
                done = run_released(double(stretch.steps) * capture.work() > work_worth_releasing,
                                    [&] { return replay::run_steps(training, stretch); });
            }
        }
        return owned(Py_BuildValue("nn", done, stretch.correct));
    }

    // Whole epochs, as many as `sums` has rows, each of the same parts: (capture, first_row, rows, steps, share), as
    // stretch() takes them. orders is (epochs, rows), or None for the rows as they lie; active has an array of marks for
    // each ReLU layer. sums (epochs, 3), correct (epochs,) and dead (epochs, layers), int64, get the results; sums and
    // correct are zeros. Returns how many epochs are done, and how many steps of the next, which then has to go on in
    // the layers themselves; (0, 0), too, where the rate is no constant.
    py::object epochs(py::handle parts, py::handle x, py::handle y, py::handle sample_weight, py::handle orders,
                      double seconds, py::handle active, py::handle sums, py::handle correct, py::handle dead) {
        const Batch sources = batch_of(x, y, sample_weight);
        replay::Epochs epochs{};
        index_t done = 0;
        double rate = 0;
        if (current() && guard_->may_step()) {
            const UsageGuard::Step in_use(*guard_);
            ResizeLock lock;
            add_to(lock, sources);
            for (const py::handle array : {orders, sums, correct, dead}) lock.add(array.ptr());
            const auto kept = entries_;
            if (rate_.constant(rate) && current() && add_parts(epochs, parts, sources, rate)) {
                for_each(active, [&](py::handle array) {
                    lock.add(array.ptr());
                    const SharedNumbers<std::uint8_t> marks(array);
                    epochs.layers.push_back({marks.data(), bytes_of(array.ptr())});
                });
                epochs.count = struct_of(sums.ptr())->dimensions[0];
                epochs.rows = struct_of(x.ptr())->dimensions[0];
                epochs.orders = SharedNumbers<index_t>(orders).data();
                epochs.seconds = seconds;
                epochs.sums = SharedNumbers<double>(sums).data();
                epochs.correct = SharedNumbers<index_t>(correct).data();
                epochs.dead = SharedNumbers<index_t>(dead).data();
                done = run_released(true, [&] { return replay::run_epochs(epochs); });
            }
        }
        return owned(Py_BuildValue("nn", done, epochs.steps));
    }

    // The two halves of a step, between which several processes add their gradients. gradient() fills the gradients
    // from `rows` rows from first_row on, in the given order or as they lie, and returns the loss, how many
    // predictions were right, and the penalty. The counters of dropout stay. None is what it is for step().
    py::object gradient(const Capture& capture, py::handle x, py::handle y, py::handle sample_weight, py::handle order,
                        index_t first_row, index_t rows) {
        const Batch sources = batch_of(x, y, sample_weight);
        const std::shared_ptr<const Entry> entry = entry_of(capture);
        if (!current() || !guard_->may_step() || entry == nullptr) return py::none();
        const UsageGuard::Step in_use(*guard_);
        ResizeLock lock;
        add_to(lock, sources);
        lock.add(order.ptr());
        replay::Stretch stretch{};
        stretch.first_row = first_row;
        stretch.rows = rows;
        stretch.steps = 1;
        if (!ready(*entry) || !locate(stretch, capture, sources)) return py::none();
        const Training training = training_of(*entry);
        stretch.order = SharedNumbers<index_t>(order).data();
        Run run;
        const Outcome outcome =
            run_released(capture.long_enough(), [&] { return replay::gradient(training, stretch, run); });
        if (outcome != Outcome::done) return py::none();
        return owned(Py_BuildValue("dnd", run.number, run.correct, run.penalty));
    }

    // Updates from the gradients, the sum of those of `count` minibatches, and counts the update; false, with
    // everything as before, where the layers have to do it.
    bool update(const Capture& capture, index_t count) {
        if (!current() || !guard_->may_step() || entry_of(capture) == nullptr) return false;
        const UsageGuard::Step in_use(*guard_);
        double rate = 0;
        if (!rate_.after(*updates_, rate)) return false;
        const std::shared_ptr<const Entry> entry = entry_of(capture);
        if (!current() || entry == nullptr || !ready(*entry)) return false;
        const Training training = training_of(*entry);
        Run run;
        return run_released(capture.long_enough(),
                            [&] { return replay::update(training, run, rate, count) == Outcome::done; });
    }

  private:
    static constexpr std::size_t most_entries = 8;

    struct Entry {
        Reference<Capture> capture;
        std::int64_t updates;       // when it was recorded
        Counters::Values counters;  // likewise

        bool fits(const Batch& batch) const {
            for (std::size_t i = 0; i < std::size(batch_slots); ++i)
                if (!capture->expected(batch_slots[i]).fits(batch[i])) return false;
            return true;
        }
    };

    // The entry for a batch, null where there is none; valid while nothing is added. To copy it is two locked
    // instructions.
    const std::shared_ptr<const Entry>* fitting(const Batch& batch) const {
        for (const auto& entry : entries_)
            if (entry->fits(batch)) return &entry;
        return nullptr;
    }
    std::shared_ptr<const Entry> entry_of(const Capture& capture) const {
        for (const auto& entry : entries_)
            if (&*entry->capture == &capture) return entry;
        return nullptr;
    }

    static void add_to(ResizeLock& lock, const Batch& batch) {
        for (PyObject* array : batch) lock.add(array);
    }
    bool touch_gradients(const Batch& batch) const {
        for (PyObject* array : batch)
            if (array != Py_None && overlap(array, gradients_.array())) return true;
        return false;
    }

    // False where the recorded numbers no longer say what the objects hold.
    bool ready(const Entry& entry) const {
        return counters_.in_step(entry.counters) && (progress_.data()[1] == 0 || sum_.data() != nullptr);
    }
    Training training_of(const Entry& entry) const {
        return {.program = &entry.capture->program(),
                .progress = {progress_.data(), progress_.data() + 1, updates_.data(), last_rate_.data()},
                .gradients = gradients_.data(),
                .sum = sum_.data(),
                .gradient_bytes = gradient_bytes_,
                .clip_norm = *clip_norm_,
                .accumulate = accumulate_,
                .recorded_updates = entry.updates,
                .counters = counters_.places().data(),
                .counter_count = counters_.places().size(),
                .recorded_counter = entry.counters.empty() ? 0 : entry.counters[0]};
    }

    // False where one of the parts is not what its capture was made for. The last of them ends its group of minibatches.
    bool add_parts(replay::Epochs& epochs, py::handle parts, const Batch& sources, const double& rate) const {
        bool fit = true;
        for_each(parts, [&](py::handle part) {
            PyObject* const given = part.ptr();
            const Capture& capture = object_of<Capture>(PyTuple_GET_ITEM(given, 0));
            const std::shared_ptr<const Entry> entry = entry_of(capture);
            replay::Stretch stretch{};
            stretch.first_row = from_python<index_t>(PyTuple_GET_ITEM(given, 1));
            stretch.rows = from_python<index_t>(PyTuple_GET_ITEM(given, 2));
            stretch.steps = from_python<index_t>(PyTuple_GET_ITEM(given, 3));
            stretch.share = from_python<double>(PyTuple_GET_ITEM(given, 4));
            stretch.seconds = std::numeric_limits<double>::infinity();
            stretch.rates = &rate;
            stretch.one_rate = true;
            fit = fit && entry != nullptr && ready(*entry) && locate(stretch, capture, sources);
            if (fit) epochs.parts.push_back({training_of(*entry), stretch});
        });
        if (fit && !epochs.parts.empty()) epochs.parts.back().stretch.close_last = true;
        return fit;
    }

    // Fills in where the rows of the stretch come from; false where the arrays are not what the capture was made for.
    bool locate(replay::Stretch& stretch, const Capture& capture, const Batch& sources) const {
        if (touch_gradients(sources)) return false;
        for (std::size_t i = 0; i < std::size(batch_slots); ++i) {
            const Expected& expected = capture.expected(batch_slots[i]);
            if (!expected.fits_rows(sources[i])) return false;
            if (sources[i] == Py_None) continue;
            const auto* proxy = struct_of(sources[i]);
            if (stretch.first_row + stretch.rows * stretch.steps > proxy->dimensions[0] ||
                stretch.rows != expected.dims[0])
                return false;
            stretch.sources[i] = {reinterpret_cast<const std::byte*>(proxy->data),
                                  reinterpret_cast<std::byte*>(const_cast<char*>(expected.memory.begin)),
                                  expected.row_bytes};
        }
        return true;
    }

    // A rate for every update of the next steps, fewer of them where one cannot be had.
    bool scheduled_rates(index_t& steps, std::vector<double>& rates) const {
        const std::int64_t updates = (progress_.data()[1] + steps) / accumulate_ + 1;
        rates.assign(static_cast<std::size_t>(updates), 0);
        for (std::size_t i = 0; i < rates.size(); ++i) {
            try {
                if (rate_.after(*updates_ + static_cast<std::int64_t>(i), rates[i])) continue;
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

    Reference<UsageGuard> guard_;
    SharedNumbers<std::byte> gradients_;
    std::size_t gradient_bytes_;
    SharedNumbers<std::byte> sum_;
    SharedNumbers<std::int64_t> progress_;
    SharedNumbers<std::int64_t> updates_;
    SharedNumbers<double> last_rate_;
    Rate rate_;
    SharedNumbers<double> clip_norm_;
    index_t accumulate_;
    Counters counters_;
    Configuration configuration_;
    std::vector<std::shared_ptr<const Entry>> entries_;
};

}  // namespace

void bind_training_replay(py::handle m) {
    using Counts = SharedNumbers<std::int64_t>;
    using Reals = SharedNumbers<double>;
    using Bytes = SharedNumbers<std::byte>;
    define_type<TrainingReplay, Reference<UsageGuard>, Bytes, Bytes, Counts, Counts, Reals, py::object, py::object,
                Reals, index_t, Counters, Configuration>(
        m,
        "TrainingReplay(guard, gradients, sum, progress, updates, last_rate, optimizer, constant, clip_norm, "
        "accumulate, counters, watched)",
        {method<&TrainingReplay::add>("add(capture)"), method<&TrainingReplay::find>("find(x, y, sample_weight)"),
         method<&TrainingReplay::renew>("renew()"), method<&TrainingReplay::step>("step(x, y, sample_weight=None)"),
         method<&TrainingReplay::gradient>("gradient(capture, x, y, sample_weight, order, first_row, rows)"),
         method<&TrainingReplay::update>("update(capture, count)"),
         method<&TrainingReplay::epochs>("epochs(parts, x, y, sample_weight, orders, seconds, active, sums, correct, "
                                         "dead)"),
         method<&TrainingReplay::stretch>("stretch(capture, x, y, sample_weight, order, first_row, rows, steps, "
                                          "seconds, close_last, share, sums, losses)")},
        {property<&TrainingReplay::current>("current")});
}

}  // namespace relu_layers::bindings
