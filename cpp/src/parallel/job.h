// One parallel_for of the pool, and who takes which part of it.
#pragma once

#include <atomic>
#include <cstdint>

#include "relu_layers/parallel.h"

namespace relu_layers::parallel {

// The caller takes chunks from the front, the workers from the back: so in one job after another the same thread has
// the same part of the arrays, and finds what it wrote in its own cache.
struct Job {
    RangeBody body = nullptr;
    void* context = nullptr;
    index_t count = 0;
    index_t chunk = 1;
    int caller_cpu = -1;

    index_t chunks() const { return (count + chunk - 1) / chunk; }
    void open() { left_.store((std::uint64_t(chunks()) + bias) << back_shift | bias, std::memory_order_relaxed); }
    // Returns how many chunks this thread had.
    index_t work(bool from_front) {
        for (index_t done = 0;; ++done) {
            const std::uint64_t left = from_front ? left_.fetch_add(1, std::memory_order_relaxed)
                                                  : left_.fetch_sub(back_one, std::memory_order_relaxed);
            const std::uint64_t front = left & front_mask;
            const std::uint64_t back = left >> back_shift;
            if (front >= back) return done;
            const index_t begin = index_t((from_front ? front : back - 1) - bias) * chunk;
            body(context, begin, begin + chunk < count ? begin + chunk : count);
        }
    }

  private:
    static constexpr int back_shift = 32;
    static constexpr std::uint64_t front_mask = 0xffffffff;
    static constexpr std::uint64_t back_one = std::uint64_t(1) << back_shift;
    // Every thread takes one more than there is: both ends stay clear of 0.
    static constexpr std::uint64_t bias = 0x10000;

    // First chunk that nobody has, and the one behind the last, in one word.
    std::atomic<std::uint64_t> left_{0};
};

}  // namespace relu_layers::parallel
