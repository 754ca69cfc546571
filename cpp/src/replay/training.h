// Steps of training from a recorded program: the order is that of the trainer's own step, to the last bit.
#pragma once

#include <cstddef>
#include <vector>

#include "replay/program.h"

namespace relu_layers::replay {

// Where the trainer and the optimizer keep their progress; Python reads the same memory.
struct Progress {
    std::int64_t* steps;
    std::int64_t* summed;  // minibatches in the group that is not complete yet
    std::int64_t* updates;
    double* last_rate;
};

// One recorded step, for one shape of batch: what a run reads and where it writes, the caller's memory.
struct Training {
    const Program* program = nullptr;
    Progress progress{};
    std::byte* gradients = nullptr;  // of the whole model, and their sum over a group of minibatches
    std::byte* sum = nullptr;        // null while every minibatch is a group of its own
    std::size_t gradient_bytes = 0;
    double clip_norm = 0;  // 0: none
    std::int64_t accumulate = 1;
    std::int64_t recorded_updates = 0;
    std::uint64_t* const* counters = nullptr;  // one per dropout layer; all advance together
    std::size_t counter_count = 0;
    std::uint64_t recorded_counter = 0;  // of the first of them
};

// How a step ended. All but `done` leave parameters, optimizer and progress as they were before it.
enum class Outcome { done, refused, diverged };

// Fills the gradients and run.number, the loss, for the batch that run.shift points to.
Outcome gradient(const Training& training, Run& run);

// Updates from the gradients, the sum of those of `count` minibatches.
Outcome update(const Training& training, Run& run, double rate, std::int64_t count);

// gradient(), then what the trainer does with it; `close` completes the group even if it is not full.
Outcome step(const Training& training, Run& run, double rate, bool close);

// Consecutive minibatches of `rows` rows each, out of arrays whose rows lie `row_bytes` apart. With an order the rows
// are gathered into `batch`, the memory that the recording knows; otherwise they are used where they are.
struct Source {
    const std::byte* data;  // null where there is no such array
    std::byte* batch;
    index_t row_bytes;
};
constexpr std::size_t batch_slots = 4;
struct Stretch {
    Source sources[batch_slots];  // input, target, sample weight, columns: slots from Slot::input on
    const index_t* order;
    index_t first_row;
    index_t rows;
    index_t steps;
    double seconds;       // returns after the step in which they are over
    const double* rates;  // one for each update, or, with one_rate, a single one
    bool one_rate;
    bool close_last;  // the last step completes its group
    double share;     // what the mean of each step's loss divided by
    double* sums;     // result: loss * share and penalty * rows are added, of every step; then the last loss
    double* losses;   // result: one per step, and no sum of them; null where the sum is wanted
    index_t correct;  // result: right predictions of all steps, where they are counted
};

// gradient() for the first minibatch of a stretch, which it also counts: the half of a step that comes before several
// processes add their gradients. Results are in `run`.
Outcome gradient(const Training& training, const Stretch& stretch, Run& run);

// Runs steps until all are done, the time is over or one ends otherwise. Returns how many are done.
index_t run_steps(const Training& training, Stretch& stretch);

// Epochs that are all alike: the same stretches one after another, through all rows.
struct Part {
    Training training;
    Stretch stretch;  // without order and sums
};
struct Units {
    std::uint8_t* active;  // of one ReLU layer: which of its units were positive in this epoch
    index_t count;
};
struct Epochs {
    std::vector<Part> parts;
    std::vector<Units> layers;
    index_t count;
    index_t rows;           // of an epoch
    const index_t* orders;  // (count, rows), null for the rows as they lie
    double seconds;         // returns after the epoch in which they are over
    double* sums;           // result: (count, 3), of each epoch what a stretch adds
    index_t* correct;       // result: (count), likewise
    index_t* dead;          // result: (count, layers), units that no row made positive
    index_t steps = 0;      // result: those done of the epoch that could not be ended
};

// Runs epochs until all are done, the time is over or a step ends otherwise. Returns how many are done.
index_t run_epochs(Epochs& epochs);

}  // namespace relu_layers::replay
