// parallel_for on the project's own thread pool. Results never depend on the number of threads: callers hand out whole
// outputs, or partial sums at fixed boundaries that they combine in order.
#pragma once

#include <type_traits>

#include "relu_layers/types.h"

namespace relu_layers {

// Threads that one parallel_for may use, the caller included. At least 1.
int num_threads();
// n >= 1; workers are started when they are first needed and sleep while idle.
void set_num_threads(int n);
// What RELU_LAYERS_NUM_THREADS says, or else what the processor affinity, the cgroup quota and OMP_NUM_THREADS allow.
int default_num_threads();
// How many processors' time the control groups of this process grant, the least of its own and all that it is inside; 0
// without a limit. `root` is where /proc and /sys are, "/" but for tests.
double cpu_quota(const char* root);
// For tests: work of at least this many nanoseconds is split, and sleeping workers are woken for it; negative restores
// the measured thresholds.
void set_parallel_threshold(double nanoseconds);

// One part of a job. An exception could not leave the thread it is thrown on: it ends the process.
using RangeBody = void (*)(void* context, index_t begin, index_t end) noexcept;

// Calls body(context, begin, end) over disjoint ranges that cover [0, count). Each range but the last holds a multiple
// of `grain` items. `nanoseconds` estimates the whole work on one thread: below the price of waking a worker, or when
// nested or when another caller has the pool, everything runs on the calling thread.
void parallel_ranges(index_t count, index_t grain, double nanoseconds, RangeBody body, void* context);

template <class Body>
void parallel_for(index_t count, index_t grain, double nanoseconds, Body&& body) {
    using Plain = typename std::remove_reference<Body>::type;
    if (0 < count && count <= grain) return body(index_t(0), count);
    parallel_ranges(
        count, grain, nanoseconds,
        [](void* context, index_t begin, index_t end) noexcept { (*static_cast<Plain*>(context))(begin, end); }, &body);
}

// Memory of the calling thread for packing and partial sums, aligned to 64 bytes, kept and grown between calls. Slots
// keep nested users apart. Throws std::bad_alloc: ask for it before the first write to an output.
enum class Scratch { pack_b, partial, count };
void* scratch(Scratch slot, std::size_t bytes);

// Whether processes can wait for each other in memory that they share: on Linux.
bool processes_can_meet();

// Of each process that takes part, a line in memory that all of them share; zeros before the first meeting. Whose the
// numbers are is the business of meet_processes().
struct alignas(64) MeetingLine {
    std::uint32_t numbers[16];
};

// Returns when all `count` processes, each with its own line, have called it as often as this one. What each wrote
// before its call, the others can read after theirs. Waits without a time limit: for each process so many seconds on the
// processor, then asleep.
void meet_processes(MeetingLine* lines, index_t own, index_t count, double seconds);

// Processes that add arrays of theirs, one of each, in memory that all of them share.
struct Addition {
    MeetingLine* lines;  // where they meet, see meet_processes()
    index_t own;         // which of the processes this is
    index_t processes;
    double seconds;
    index_t block;  // elements that they exchange at a time
    bool in_parts;  // whether each adds a part of every block, rather than all of it
};
// Elements of the shared memory that one takes.
index_t shared_elements(index_t processes, index_t block);

// Adds the arrays of the first `count` processes in their order, (earlier + array 0) + array 1 and so on; without an
// `earlier` sum (null) from array 0 on. Every process calls it with arrays of the same size and with the same options,
// after a meeting that ended every other use of `shared`. The sum goes to `array` of each process where it is the
// `last`, else to `total`, of which each process then holds what it adds. No two of these overlap, but `earlier` may be
// `total`. Float32 and float64.
template <class T>
void add_in_order(const Addition& addition, T* shared, index_t size, T* array, const T* earlier, T* total,
                  index_t count, bool last);

}  // namespace relu_layers
