// Which threads still exist: after a fork the child has only the one that forked.
#pragma once

#include <Python.h>

namespace relu_layers::bindings {

// How often this process, or one it comes from, was made by a fork, and which thread went on.
struct Forks {
    static inline unsigned long count = 0;
    static inline unsigned long survivor = 0;
};

// Counts forks from now on.
void watch_forks();

// A thread as it was noted by itself.
class Thread {
  public:
    static Thread current() { return {}; }
    bool is_current() const { return ident_ == PyThread_get_thread_ident() && exists(); }
    // False for one that a fork left behind.
    bool exists() const { return forks_ == Forks::count || ident_ == Forks::survivor; }

  private:
    Thread() : ident_(PyThread_get_thread_ident()), forks_(Forks::count) {}

    unsigned long ident_;
    unsigned long forks_;
};

}  // namespace relu_layers::bindings
