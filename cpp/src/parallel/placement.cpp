// Two threads of one job on one processor take turns of some 80 us, and the system's scheduler may leave them there
// for long: a worker that finds itself beside its caller moves away.
#include "parallel/placement.h"

#include <cstddef>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace relu_layers::parallel {

#ifdef __linux__
int current_cpu() { return sched_getcpu(); }

void leave_cpu(int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getcpu() != cpu) return;
    cpu_set_t allowed;
    if (pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed) != 0) return;
    cpu_set_t others = allowed;
    CPU_CLR(static_cast<std::size_t>(cpu), &others);
    if (CPU_COUNT(&others) == 0 || pthread_setaffinity_np(pthread_self(), sizeof(others), &others) != 0) return;
    pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
}
#else
int current_cpu() { return -1; }
void leave_cpu(int) {}
#endif

}  // namespace relu_layers::parallel
