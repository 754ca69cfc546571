#include "replay/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace relu_layers::replay {
namespace {

// Adds the minibatch's gradient to its group, and updates if that completes the group.
Outcome take_gradient(const Training& t, Run& run, double rate, bool close) {
    const Progress& progress = t.progress;
    const std::int64_t count = *progress.summed + 1;
    if (count < t.accumulate && !close) {
        if (count == 1) std::memcpy(t.sum, t.gradients, t.gradient_bytes);
        else t.program->run(Phase::collect, run);
        *progress.summed = count;
        return Outcome::done;
    }
    if (count > 1) t.program->run(Phase::combine, run);
    return update(t, run, rate, count);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Bytes that are on their way from memory while others are copied.
constexpr std::size_t bytes_ahead = 6144;

// Rows order[0 .. rows) of the source, one after another; `known` entries of the order are known. Rows in random order
// are too short for the processor to see them coming. Asked for into the second-level cache they come at 13 to 18 GB/s
// (Zen 4, rows of 3 kB), into the first at 6 to 9: it has too few buffers for lines under way.
void gather(const Source& source, const index_t* order, index_t rows, index_t known) {
    const auto bytes = static_cast<std::size_t>(source.row_bytes);
    std::byte* to = source.batch;
    if (bytes == 8) {  // a label, or a row of two numbers: too short for a call of memcpy
        for (index_t i = 0; i < rows; ++i) std::memcpy(to + i * 8, source.data + order[i] * 8, 8);
        return;
    }
    const auto ahead = static_cast<index_t>(bytes == 0 ? 0 : bytes_ahead / bytes + 1);
    for (index_t i = 0; i < rows; ++i, to += bytes) {
        if (i + ahead < known) {
            const std::byte* coming = source.data + order[i + ahead] * source.row_bytes;
            for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(coming + line, 0, 2);
        }
        std::memcpy(to, source.data + order[i] * source.row_bytes, bytes);
    }
}

// Brings minibatch i of the stretch to where the program reads it, or the program to it.
void place(const Stretch& stretch, index_t i, Run& run) {
    const auto input = static_cast<std::size_t>(Slot::input);
    const index_t row = stretch.first_row + i * stretch.rows;
    for (std::size_t k = 0; k < batch_slots; ++k) {
        const Source& source = stretch.sources[k];
        if (source.data == nullptr) continue;
        if (stretch.order != nullptr)
            gather(source, stretch.order + row, stretch.rows, (stretch.steps - i) * stretch.rows);
        else run.shift[input + k] = source.data + row * source.row_bytes - source.batch;
    }
}

}  // namespace

Outcome update(const Training& t, Run& run, double rate, std::int64_t count) {
    double scale = 1;
    if (t.clip_norm > 0) {
        const double loss = run.number;
        run.number = 0;
        t.program->run(Phase::norm, run);
        const double norm = std::sqrt(run.number);
        run.number = loss;
        if (!std::isfinite(norm)) return Outcome::diverged;
        if (norm > t.clip_norm) scale = t.clip_norm / norm;
    }
    run.rate = rate;
    run.grad_scale = count == 1 ? scale : scale / double(count);  // a division takes as long as a small op's arithmetic
    run.updates = *t.progress.updates - t.recorded_updates;
    t.program->run(Phase::update, run);
    *t.progress.summed = 0;
    *t.progress.updates += 1;
    *t.progress.last_rate = rate;
    return Outcome::done;
}

Outcome gradient(const Training& t, Run& run) {
    run.forwards = t.counter_count == 0 ? 0 : *t.counters[0] - t.recorded_counter;
    run.refused = false;
    t.program->run(Phase::check, run);
    if (run.refused) return Outcome::refused;
    t.program->run(Phase::forward, run);
    if (!std::isfinite(run.number)) return Outcome::diverged;
    const double loss = run.number;
    // Of the ops of backward only the penalty gives a number.
    run.number = 0;
    t.program->run(Phase::backward, run);
    run.penalty = run.number;
    run.number = loss;
    return Outcome::done;
}

Outcome gradient(const Training& t, const Stretch& stretch, Run& run) {
    place(stretch, 0, run);
    const Outcome outcome = gradient(t, run);
    if (outcome == Outcome::done) t.program->run(Phase::observe, run);
    return outcome;
}

Outcome step(const Training& t, Run& run, double rate, bool close) {
    Outcome outcome = gradient(t, run);
    if (outcome == Outcome::done) outcome = take_gradient(t, run, rate, close);
    if (outcome != Outcome::done) return outcome;
    for (std::size_t i = 0; i < t.counter_count; ++i) ++*t.counters[i];
    ++*t.progress.steps;
    return outcome;
}

index_t run_steps(const Training& t, Stretch& stretch) {
    const auto begin = Clock::now();
    index_t next_look = 1;
    const std::int64_t first_update = *t.progress.updates;
    Run run;
    stretch.correct = 0;
    for (index_t i = 0; i < stretch.steps; ++i) {
        place(stretch, i, run);
        const std::int64_t update = stretch.one_rate ? 0 : *t.progress.updates - first_update;
        const bool close = stretch.close_last && i + 1 == stretch.steps;
        if (step(t, run, stretch.rates[update], close) != Outcome::done) return i;
        if (stretch.losses != nullptr) stretch.losses[i] = run.number;
        else stretch.sums[0] += run.number * stretch.share;
        stretch.sums[1] += run.penalty * double(stretch.rows);
        stretch.sums[2] = run.number;
        t.program->run(Phase::observe, run);
        stretch.correct += run.correct;
        if (i + 1 < next_look) continue;
        // Reading the clock costs as much as a small op: a look every 20 us will do.
        const double seconds = seconds_since(begin);
        if (seconds >= stretch.seconds) return i + 1;
        const double steps = 20e-6 / seconds * double(i + 1);
        next_look += 1 + static_cast<index_t>(steps < 64 ? steps : 64);
    }
    return stretch.steps;
}

index_t run_epochs(Epochs& epochs) {
    const auto begin = Clock::now();
    index_t* dead = epochs.dead;
    for (index_t epoch = 0; epoch < epochs.count; ++epoch) {
        for (const Units& layer : epochs.layers) std::fill_n(layer.active, layer.count, std::uint8_t(0));
        epochs.steps = 0;
        for (Part& part : epochs.parts) {
            part.stretch.order = epochs.orders == nullptr ? nullptr : epochs.orders + epoch * epochs.rows;
            part.stretch.sums = epochs.sums + 3 * epoch;
            const index_t done = run_steps(part.training, part.stretch);
            epochs.steps += done;
            epochs.correct[epoch] += part.stretch.correct;
            if (done < part.stretch.steps) return epoch;
        }
        epochs.steps = 0;
        for (const Units& layer : epochs.layers)
            *dead++ = std::count(layer.active, layer.active + layer.count, std::uint8_t(0));
        if (seconds_since(begin) >= epochs.seconds) return epoch + 1;
    }
    return epochs.count;
}

}  // namespace relu_layers::replay
