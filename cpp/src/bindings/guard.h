// Who may use a model now: any number of inferences, or one thread that trains. Guarded by the GIL.
#pragma once

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

#include "bindings/forks.h"
#include "bindings/python.h"
#include "relu_layers/types.h"

namespace relu_layers::bindings {

class UsageGuard {
  public:
    // Whether this thread could begin now.
    bool may_infer() {
        forget_left_behind();
        return !trainer_ || trainer_->is_current();
    }
    bool may_train() {
        forget_left_behind();
        return trainer_ ? trainer_->is_current() : readers_.empty();
    }
    // And whether no step of its own is under way.
    bool may_step() { return may_train() && !stepping_; }

    void begin_inference() {
        if (!may_infer())
            throw std::runtime_error(
                "the model is being trained by another thread; wait for that thread, or give each thread a copy of its "
                "own before they start: copy.deepcopy(model)");
        readers_.push_back(Thread::current());
    }
    void end_inference() {
        const auto own = std::find_if(readers_.begin(), readers_.end(), [](const Thread& t) { return t.is_current(); });
        if (own != readers_.end()) readers_.erase(own);
    }
    // May be nested by its own thread, which may also run inference inside.
    void begin_training() {
        if (!may_train())
            throw std::runtime_error(
                "the model is in use by another thread, so it cannot be trained now; wait for that thread, or give "
                "each thread a copy of its own before they start: copy.deepcopy(model)");
        trainer_ = Thread::current();
        ++depth_;
    }
    void end_training() {
        if (depth_ == 0 || --depth_ > 0) return;
        trainer_.reset();
    }
    void leave_training(py::handle, py::handle, py::handle) { end_training(); }
    // Training that nothing may be nested in.
    void begin_step() {
        begin_training();
        if (stepping_) {
            end_training();
            throw std::runtime_error(
                "the model is in use by the training step that this call comes from (its schedule or a callback "
                "between gradient and update); train it after that step, or train a copy: copy.deepcopy(model)");
        }
        stepping_ = true;
        ++version_;
    }
    void end_step() {
        stepping_ = false;
        end_training();
    }

    // Counts what may change the parameters: a training pass of an older version has nothing to do with them any more.
    index_t version() const { return version_; }
    void parameters_changed() { ++version_; }

    // A use of the model for as long as this lives.
    template <void (UsageGuard::*begin)(), void (UsageGuard::*end)()>
    class Use {
      public:
        explicit Use(UsageGuard& guard) : guard_(guard) { (guard_.*begin)(); }
        ~Use() { (guard_.*end)(); }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

      private:
        UsageGuard& guard_;
    };
    using Inference = Use<&UsageGuard::begin_inference, &UsageGuard::end_inference>;
    using Training = Use<&UsageGuard::begin_training, &UsageGuard::end_training>;
    using Step = Use<&UsageGuard::begin_step, &UsageGuard::end_step>;

  private:
    void forget_left_behind() {
        if (forks_ == Forks::count) return;
        forks_ = Forks::count;
        readers_.erase(std::remove_if(readers_.begin(), readers_.end(), [](const Thread& t) { return !t.exists(); }),
                       readers_.end());
        if (!trainer_ || trainer_->exists()) return;
        trainer_.reset();
        depth_ = 0;
        stepping_ = false;
    }

    std::optional<Thread> trainer_;
    int depth_ = 0;
    bool stepping_ = false;
    index_t version_ = 0;
    std::vector<Thread> readers_;
    unsigned long forks_ = Forks::count;
};

}  // namespace relu_layers::bindings
