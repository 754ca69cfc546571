#include "parallel/cpu_count.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace relu_layers::parallel {
namespace {

#ifdef __linux__
int affinity_count() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 0;  // more than 1024 processors: fall back to the library's count
    return CPU_COUNT(&set);
}

// A container's share of processor time, in processors, or 0 where there is no limit. Rounded up: half a processor is
// still one thread.
int quota_of(double quota, double period) {
    if (quota <= 0 || period <= 0) return 0;
    return std::max(1, static_cast<int>((quota + period - 1) / period));
}

int cgroup_quota() {
    double quota = 0;
    double period = 0;
    if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {  // version 2: "200000 100000" or "max 100000"
        const int read = std::fscanf(file, "%lf %lf", &quota, &period);
        std::fclose(file);
        return read == 2 ? quota_of(quota, period) : 0;
    }
    const auto number = [](const char* path, double& value) {
        std::FILE* file = std::fopen(path, "r");
        if (file == nullptr) return false;
        const bool found = std::fscanf(file, "%lf", &value) == 1;
        std::fclose(file);
        return found;
    };
    if (number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota) && number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period))
        return quota_of(quota, period);
    return 0;
}
#endif

}  // namespace

int usable_cpus() {
    int count = 0;
#ifdef __linux__
    count = affinity_count();
#endif
    if (count < 1) count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#ifdef __linux__
    if (const int quota = cgroup_quota(); quota > 0) count = std::min(count, quota);
#endif
    return count;
}

}  // namespace relu_layers::parallel
