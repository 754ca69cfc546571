// Who may use a model now: any number of inferences, or one thread that trains. Guarded by the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>

namespace relu_layers::bindings {

class UsageGuard {
  public:
    // Whether this thread could begin now.
    bool may_infer() const { return trainer_ == 0 || trainer_ == PyThread_get_thread_ident(); }
    bool may_train() const { return trainer_ == PyThread_get_thread_ident() || (trainer_ == 0 && readers_ == 0); }
    void begin_inference() {
        if (!may_infer())
            throw std::runtime_error(
                "the model is being trained by another thread; "
                "wait for that, or use a copy: copy.deepcopy(model)");
        ++readers_;
    }
    void end_inference() { --readers_; }
    // May be nested by its own thread, which may also run inference inside.
    void begin_training() {
        if (!may_train())
            throw std::runtime_error(
                "the model is in use by another thread, so it cannot be trained now; "
                "wait for that, or train a copy: copy.deepcopy(model)");
        trainer_ = PyThread_get_thread_ident();
        ++depth_;
    }
    void end_training() {
        if (--depth_ == 0) trainer_ = 0;
    }

    // Training for as long as this lives.
    class Training {
      public:
        explicit Training(UsageGuard& guard) : guard_(guard) { guard_.begin_training(); }
        ~Training() { guard_.end_training(); }
        Training(const Training&) = delete;
        Training& operator=(const Training&) = delete;

      private:
        UsageGuard& guard_;
    };

  private:
    unsigned long trainer_ = 0;
    int depth_ = 0;
    int readers_ = 0;
};

}  // namespace relu_layers::bindings
