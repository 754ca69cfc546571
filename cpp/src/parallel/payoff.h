// Whether handing out work has paid lately. The other processors may be busy with other programs: then a worker that
// has claimed a piece may wait for its turn for milliseconds, and the caller for it. What that cost over doing all of
// the work alone is measured on every job, and for forty times as long nothing is handed out: so the loss stays below
// 2.5 %, and one job now and then finds out whether the processor has become free.
#pragma once

#include <chrono>
#include <cstddef>

namespace relu_layers::parallel {

class Payoff {
  public:
    using Clock = std::chrono::steady_clock;

    bool expected(Clock::time_point now) const { return now >= not_before_; }

    // The caller did `own` of `all` pieces between `begin` and `idle`, and had the whole result at `end`.
    void learn(Clock::time_point begin, Clock::time_point idle, Clock::time_point end, std::ptrdiff_t own,
               std::ptrdiff_t all) {
        if (own == 0) return;
        const std::chrono::duration<double> busy = idle - begin;
        const std::chrono::duration<double> alone = busy * (double(all) / double(own));
        std::chrono::duration<double> loss = (end - begin) - alone;
        // Nobody came: what it took to call them.
        if (own == all && loss < call_of_sleepers) loss = call_of_sleepers;
        if (loss.count() > 0) not_before_ = end + std::chrono::duration_cast<Clock::duration>(40 * loss);
    }

  private:
    static constexpr std::chrono::duration<double> call_of_sleepers{4e-6};

    Clock::time_point not_before_{};
};

}  // namespace relu_layers::parallel
