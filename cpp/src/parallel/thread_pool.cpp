// The project's own thread pool. One job at a time; the caller works too, and claims chunks from the same counter as
// the workers. Workers spin briefly after a job, then sleep. They never touch Python, run with all signals blocked, and
// are detached: the pool is leaked on purpose, so that exit never waits for a thread and a forked child simply makes a
// new one.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "parallel/cpu_count.h"
#include "parallel/job.h"
#include "parallel/pause.h"
#include "parallel/payoff.h"
#include "parallel/placement.h"
#include "relu_layers/parallel.h"

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

namespace relu_layers {
namespace {

// A hot worker takes a job over in about 0.3 us, but has to fetch what the others wrote: halving a layer of 8 x 100
// units and 200 rows in float64 (9 us by its price) made its step 20 % slower, so did 4 and 8 us as the least price.
constexpr double least_nanoseconds_hot = 12e3;
// Waking a sleeping worker takes 15 to 60 us.
constexpr double least_nanoseconds_asleep = 100e3;
// Small jobs one after another: workers are woken once so much was lost by letting them sleep.
constexpr double most_nanoseconds_missed = 100e3;
constexpr auto spin_time = std::chrono::microseconds(75);
constexpr int max_threads = 1024;

// Set while this thread runs a piece of a job: what it calls in turn stays on it.
thread_local bool inside_job = false;

// Blocks all signals of the calling thread while it lives: threads that start meanwhile inherit the mask.
class SignalsBlocked {
  public:
    SignalsBlocked() {
#ifndef _WIN32
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
#endif
    }
    ~SignalsBlocked() {
#ifndef _WIN32
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
#endif
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
#ifndef _WIN32
    sigset_t before_;
#endif
};

using parallel::Job;
using parallel::pause_briefly;

class Pool {
  public:
    // False where another caller has the pool or, unless `always`, where it has not paid lately; the caller then works
    // alone.
    bool run(index_t count, index_t chunk, RangeBody body, void* context, int threads, double nanoseconds,
             double least_asleep, bool always) {
        std::unique_lock<std::mutex> lock(job_mutex_, std::try_to_lock);
        if (!lock.owns_lock()) return false;
        const int wanted = threads - 1;
        const auto begin = parallel::Payoff::Clock::now();
        const bool rouse =
            nanoseconds < least_asleep && awake_.load() == 0 && missed_too_much(begin, nanoseconds * wanted / threads);
        const bool wake_sleepers = rouse || nanoseconds >= least_asleep;
        if (wake_sleepers) start_workers(wanted);
        if (worker_count_ == 0 || (!wake_sleepers && awake_.load() == 0)) return false;
        if (!always && !payoff_.expected(begin)) return false;
        job_.body = body;
        job_.context = context;
        job_.count = count;
        job_.chunk = chunk;
        job_.caller_cpu = parallel::current_cpu();
        job_.open();
        limit_.store(std::uint64_t(wanted), std::memory_order_relaxed);
        // Opening the gate with a new generation publishes the job's fields.
        const std::uint64_t generation = (gate_.load(std::memory_order_relaxed) >> generation_shift) + 1;
        gate_.store((generation << generation_shift) | open_bit);
        if (wake_sleepers && awake_.load() < worker_count_) {
            {
                std::lock_guard<std::mutex> asleep(sleep_mutex_);
                rouses_ += rouse;
            }
            wake_.notify_all();
        }
        inside_job = true;
        const index_t own = job_.work(true);
        inside_job = false;
        const auto idle = parallel::Payoff::Clock::now();
        gate_.fetch_and(~open_bit);
        for (int spins = 0; (gate_.load(std::memory_order_acquire) & inside_mask) != 0; ++spins) {
            if (spins < 4000) pause_briefly();
            else std::this_thread::yield();
        }
        // Sleepers are roused for the jobs to come: this one may be over before they are up.
        if (rouse) missed_ = 0;
        else payoff_.learn(begin, idle, parallel::Payoff::Clock::now(), own, job_.chunks());
        return true;
    }

  private:
    // gate_: the number of workers inside the job, a bit that lets more of them in, and the job's generation.
    static constexpr std::uint64_t inside_mask = 0xffff;
    static constexpr std::uint64_t open_bit = 0x10000;
    static constexpr int generation_shift = 17;

    // Adds what this job could have gained from the sleepers, as long as jobs follow each other so closely that awake
    // workers would have stayed so.
    bool missed_too_much(parallel::Payoff::Clock::time_point now, double nanoseconds) {
        if (!payoff_.expected(now)) return false;
        if (now > missed_until_) missed_ = 0;
        missed_ += nanoseconds;
        const auto longest = std::chrono::nanoseconds(static_cast<std::int64_t>(2 * nanoseconds)) + spin_time;
        missed_until_ = now + longest;
        return missed_ >= most_nanoseconds_missed;
    }

    // As many as can be had: where threads or memory run out, fewer workers give the same result, later.
    void start_workers(int wanted) noexcept {
        if (worker_count_ >= wanted) return;
        const SignalsBlocked blocked;
        try {
            for (; worker_count_ < wanted; ++worker_count_) std::thread([this] { worker(); }).detach();
        } catch (const std::exception&) {  // std::system_error or std::bad_alloc
        }
    }

    bool try_enter(std::uint64_t& seen) {
        std::uint64_t gate = gate_.load();  // ordered after a sleeper's awake_ decrement: no wake-up is lost
        while ((gate & open_bit) != 0 && (gate >> generation_shift) != seen) {
            if ((gate & inside_mask) >= limit_.load(std::memory_order_relaxed)) return false;
            if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
                seen = gate >> generation_shift;
                return true;
            }
        }
        return false;
    }

    void worker() {
        inside_job = true;
        std::uint64_t seen = 0;
        awake_.fetch_add(1);
        for (;;) {
            if (try_enter(seen) || spin(seen)) {
                take_part();
                continue;
            }
            std::unique_lock<std::mutex> lock(sleep_mutex_);
            awake_.fetch_sub(1);
            bool entered = false;
            const std::uint64_t rouses = rouses_;
            wake_.wait(lock, [&] { return (entered = try_enter(seen)) || rouses != rouses_; });
            awake_.fetch_add(1);
            lock.unlock();
            if (entered) take_part();
        }
    }

    // Work of a job that this worker has entered.
    void take_part() {
        parallel::leave_cpu(job_.caller_cpu);
        job_.work(false);
        gate_.fetch_sub(1, std::memory_order_release);
    }

    bool spin(std::uint64_t& seen) {
        const auto end = std::chrono::steady_clock::now() + spin_time;
        do {
            for (int i = 0; i < 64; ++i) {
                if (try_enter(seen)) return true;
                pause_briefly();
            }
        } while (std::chrono::steady_clock::now() < end);
        return false;
    }

    std::mutex job_mutex_;
    Job job_;
    parallel::Payoff payoff_;  // this and the next two are guarded by job_mutex_
    double missed_ = 0;        // nanoseconds
    parallel::Payoff::Clock::time_point missed_until_{};
    std::atomic<std::uint64_t> gate_{0};
    std::atomic<std::uint64_t> limit_{0};
    std::atomic<int> awake_{0};
    int worker_count_ = 0;  // guarded by job_mutex_
    std::mutex sleep_mutex_;
    std::uint64_t rouses_ = 0;  // guarded by sleep_mutex_; sleepers that see it change wait for the next job awake
    std::condition_variable wake_;
};

std::atomic<Pool*> shared_pool{nullptr};
std::atomic<int> thread_limit{0};
std::atomic<double> threshold_for_tests{-1};

// The child of a fork has none of the workers: it starts over with a pool of its own. False where that cannot be
// arranged.
bool children_start_over() {
#ifndef _WIN32
    static std::atomic<bool> arranged{false};
    if (arranged.load()) return true;
    const auto start_over = [] {
        shared_pool.store(nullptr);
        inside_job = false;
    };
    if (pthread_atfork(nullptr, nullptr, start_over) != 0) return false;
    arranged.store(true);
#endif
    return true;
}

// nullptr where there is no memory for it.
Pool* pool() {
    Pool* existing = shared_pool.load(std::memory_order_acquire);
    if (existing != nullptr) return existing;
    std::unique_ptr<Pool> fresh(new (std::nothrow) Pool);
    if (fresh == nullptr || !children_start_over()) return nullptr;
    return shared_pool.compare_exchange_strong(existing, fresh.get()) ? fresh.release() : existing;
}

// The number that an environment variable starts with, or 0 where it holds none; `whole`: nothing may follow it.
int threads_in_environment(const char* name, bool whole) {
    const char* text = std::getenv(name);
    if (text == nullptr) return 0;
    char* end = nullptr;
    const long wanted = std::strtol(text, &end, 10);
    if (end == text || wanted < 1 || (*end != '\0' && (whole || *end != ','))) return 0;
    return wanted < max_threads ? static_cast<int>(wanted) : max_threads;
}

}  // namespace

int default_num_threads() {
    if (const int wanted = threads_in_environment("RELU_LAYERS_NUM_THREADS", true)) return wanted;
    // Programs that start several processes tell them so how many processors each may take.
    const int shared = threads_in_environment("OMP_NUM_THREADS", false);
    const int usable = parallel::usable_cpus();
    return shared > 0 && shared < usable ? shared : usable;
}

int num_threads() {
    int limit = thread_limit.load(std::memory_order_relaxed);
    if (limit == 0) {
        limit = default_num_threads();
        int unset = 0;
        if (!thread_limit.compare_exchange_strong(unset, limit)) limit = unset;
    }
    return limit;
}

void set_num_threads(int n) { thread_limit.store(n < 1 ? 1 : n < max_threads ? n : max_threads); }

void set_parallel_threshold(double nanoseconds) { threshold_for_tests.store(nanoseconds); }

void parallel_ranges(index_t count, index_t grain, double nanoseconds, RangeBody body, void* context) {
    if (count <= 0) return;
    const int threads = num_threads();
    const double forced = threshold_for_tests.load(std::memory_order_relaxed);
    const double least = forced >= 0 ? forced : least_nanoseconds_hot;
    if (threads > 1 && !inside_job && count > grain && nanoseconds >= least) {
        // A few chunks per thread even out threads that start late or are interrupted.
        const index_t grains = (count + grain - 1) / grain;
        const index_t pieces = index_t(threads) * 4;
        const index_t chunk = grain * ((grains + pieces - 1) / pieces);
        const double least_asleep = forced >= 0 ? forced : least_nanoseconds_asleep;
        Pool* shared = pool();
        if (shared != nullptr &&
            shared->run(count, chunk, body, context, threads, nanoseconds, least_asleep, forced >= 0))
            return;
    }
    body(context, 0, count);
}

}  // namespace relu_layers
