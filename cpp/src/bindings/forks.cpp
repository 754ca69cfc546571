#include "bindings/forks.h"

#include <new>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace relu_layers::bindings {

void watch_forks() {
#if !defined(_WIN32)
    const int failed = pthread_atfork(nullptr, nullptr, [] {
        ++Forks::count;
        Forks::survivor = PyThread_get_thread_ident();
    });
    if (failed != 0) throw std::bad_alloc();
#endif
}

}  // namespace relu_layers::bindings
