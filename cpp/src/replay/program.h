// A recorded sequence of op calls. The ops' pointers stay what they were when they were recorded, but for a few slots
// of memory that lie elsewhere in every run; numbers that change from run to run come from a Run. So the same bodies
// serve a single call, where the Run is the plain one, and a replay.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "relu_layers/types.h"

namespace relu_layers::replay {

// What an array of a recorded call is: memory that stays, or one of those that every run brings along.
enum class Slot : int { fixed, input, target, sample_weight, columns, output, count };

// The parts of a training step, in their order. `check` looks at labels before anything is written.
enum class Phase : int { check, forward, backward, observe, collect, combine, norm, update, count };

// One run of recorded calls: what differs from the recording, nothing in a plain Run, and what the calls give.
struct Run {
    index_t shift[static_cast<int>(Slot::count)] = {};  // bytes to add to the recorded address of each slot
    double rate = 1;                                    // factor of the recorded learning rate
    double grad_scale = 1;                              // factor of the recorded scale of the gradient
    std::int64_t updates = 0;                           // added to the recorded number of the update
    std::uint64_t forwards = 0;                         // added to the recorded counter of a dropout mask
    double number = 0;                                  // result: a loss, or a sum that ops add to
    double penalty = 0;                                 // result: what the penalty of a step added to its loss
    index_t inactive = 0;                               // result of marking active units
    index_t correct = 0;                                // result of counting right predictions
    bool refused = false;                               // result of `check`
};

// Memory that may lie elsewhere in each run.
struct Place {
    const void* recorded;
    Slot slot;

    template <class T>
    T* in(const Run& run) const {
        return reinterpret_cast<T*>(reinterpret_cast<std::intptr_t>(recorded) + run.shift[static_cast<int>(slot)]);
    }
};

// What a body does, to the state that it is called with.
using Code = void (*)(const void* state, Run& run);

// A function object of any type. Unlike a std::function it is never empty, so that a call looks for nothing.
class Body {
  public:
    template <class State>
    Body(State state, Code code)
        : state_(new State(std::move(state)), [](void* kept) { delete static_cast<State*>(kept); }), code_(code) {}
    template <class Function>
    explicit Body(Function function)
        : Body(std::move(function), [](const void* state, Run& run) { (*static_cast<const Function*>(state))(run); }) {}

    void operator()(Run& run) const { code_(state_.get(), run); }

  private:
    std::unique_ptr<void, void (*)(void*)> state_;
    Code code_;
};

class Program {
  public:
    template <class Function>
    void add(Phase phase, Function function) {
        of(phase).emplace_back(std::move(function));
    }
    bool has(Phase phase) const { return !of(phase).empty(); }
    void run(Phase phase, Run& run) const {
        for (const Body& body : of(phase)) body(run);
    }

  private:
    using Bodies = std::vector<Body>;

    Bodies& of(Phase phase) { return phases_[static_cast<std::size_t>(phase)]; }
    const Bodies& of(Phase phase) const { return phases_[static_cast<std::size_t>(phase)]; }

    std::array<Bodies, static_cast<std::size_t>(Phase::count)> phases_;
};

}  // namespace relu_layers::replay
