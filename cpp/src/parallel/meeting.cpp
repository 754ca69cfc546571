// Processes that wait for each other in memory that they share. A process that waits spins briefly, for the others are
// about to come, then it sleeps, for they may need its processor.
#include <atomic>
#include <chrono>
#include <cstdint>

#include "parallel/pause.h"
#include "relu_layers/parallel.h"

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace relu_layers {

#ifdef __linux__

namespace {

using Clock = std::chrono::steady_clock;
using Number = std::atomic<std::uint32_t>;
static_assert(Number::is_always_lock_free && sizeof(Number) == sizeof(std::uint32_t));

// What a MeetingLine holds.
struct Line {
    Number arrivals;  // of its process, modulo 2^32
    Number sleepers;  // who wait for it, those that were killed meanwhile included
};
static_assert(sizeof(Line) <= sizeof(MeetingLine));

bool reached(std::uint32_t arrivals, std::uint32_t expected) {
    return static_cast<std::int32_t>(arrivals - expected) >= 0;
}

bool spin(const Line& line, std::uint32_t expected, double seconds) {
    if (reached(line.arrivals.load(std::memory_order_acquire), expected)) return true;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    do {
        for (int i = 0; i < 32; ++i) {
            if (reached(line.arrivals.load(std::memory_order_acquire), expected)) return true;
            parallel::pause_briefly();
        }
    } while (Clock::now() < end);
    return false;
}

void sleep(Line& line, std::uint32_t expected) {
    line.sleepers.fetch_add(1);
    for (std::uint32_t seen = line.arrivals.load(); !reached(seen, expected); seen = line.arrivals.load())
        syscall(SYS_futex, &line.arrivals, FUTEX_WAIT, seen, nullptr, nullptr, 0);  // returns at once if it has changed
    line.sleepers.fetch_sub(1);
}

}  // namespace

bool processes_can_meet() { return true; }

void meet_processes(MeetingLine* lines, index_t own, index_t count, double seconds) {
    Line& mine = *reinterpret_cast<Line*>(lines + own);
    const std::uint32_t expected = mine.arrivals.fetch_add(1) + 1;
    if (mine.sleepers.load() != 0) syscall(SYS_futex, &mine.arrivals, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
    for (index_t other = 0; other < count; ++other) {
        Line& theirs = *reinterpret_cast<Line*>(lines + other);
        if (!spin(theirs, expected, seconds)) sleep(theirs, expected);
    }
}

#else

bool processes_can_meet() { return false; }

void meet_processes(MeetingLine*, index_t, index_t, double) {}

#endif

}  // namespace relu_layers
