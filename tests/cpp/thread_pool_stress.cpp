// The thread pool under callers of all kinds at once, to be built with -fsanitize=thread: concurrent callers, nested
// calls, changing numbers of threads, pauses long enough for the workers to fall asleep. Exits with 1 on a wrong sum.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "relu_layers/parallel.h"

namespace {

using relu_layers::index_t;

constexpr int callers = 6;
constexpr int rounds = 400;
std::atomic<int> wrong{0};

// Every item is visited once, whoever does it.
void job(index_t count, index_t grain, bool nested, double nanoseconds = 1e9) {
    std::vector<int> visits(static_cast<std::size_t>(count), 0);
    relu_layers::parallel_for(count, grain, nanoseconds, [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        if (nested)
            relu_layers::parallel_for(end - begin, 1, 1e9, [&](index_t first, index_t last) {
                for (index_t i = first; i < last; ++i) ++visits[static_cast<std::size_t>(begin + i)];
            });
    });
    for (const int n : visits)
        if (n != (nested ? 2 : 1)) ++wrong;
}

void call(unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < rounds; ++i) {
        job(1 + index_t(random() % 3000), 1 + index_t(random() % 64), random() % 4 == 0);
        if (random() % 40 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 400));
        if (seed == 0 && random() % 8 == 0) relu_layers::set_num_threads(1 + int(random() % 8));
    }
}

}  // namespace

int main() {
    relu_layers::set_num_threads(4);
    relu_layers::set_parallel_threshold(0);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < callers; ++i) threads.emplace_back(call, i);
    for (std::thread& thread : threads) thread.join();
    for (int i = 0; i < rounds; ++i) job(1000, 8, false);
    // Small jobs in a row at the measured thresholds: sleepers are roused for the jobs to come.
    relu_layers::set_parallel_threshold(-1);
    for (int i = 0; i < 20 * rounds; ++i) {
        job(1000, 8, false, 2e4);
        if (i % 200 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    std::printf("%d wrong\n", wrong.load());
    return wrong.load() == 0 ? 0 : 1;
}
