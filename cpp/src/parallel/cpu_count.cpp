#include "parallel/cpu_count.h"

#include "relu_layers/parallel.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace relu_layers {
namespace parallel {
namespace {

#ifdef __linux__
int affinity_count() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 0;  // more than 1024 processors: fall back to the library's count
    return CPU_COUNT(&set);
}

constexpr std::size_t longest_path = 4096;

// The least number of processors' time that a group, or one of those it is inside, grants; 0 without a limit. Nothing is
// allocated: the count may be asked for first inside an op, where nothing can fail any more.
class Quota {
  public:
    explicit Quota(const char* root) : root_(root) {
        char path[longest_path];
        char line[longest_path];
        if (std::snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= int(sizeof path)) return;
        std::FILE* groups = std::fopen(path, "r");
        if (groups == nullptr) return;
        while (std::fgets(line, sizeof line, groups) != nullptr) read(line);
        std::fclose(groups);
    }
    double least() const { return least_; }

  private:
    // "hierarchy:controllers:path". Version 2 has no controllers there and "200000 100000" or "max 100000" in cpu.max;
    // version 1 has a folder for the controller, with quota and period in two files.
    void read(char* line) {
        line[std::strcspn(line, "\n")] = 0;
        char* controllers = std::strchr(line, ':');
        char* group = controllers == nullptr ? nullptr : std::strchr(controllers + 1, ':');
        if (group == nullptr) return;
        *controllers++ = *group++ = 0;
        const bool first_version = *controllers != 0;
        if (first_version && !names_cpu(controllers)) return;
        for (;;) {
            double quota = 0;
            double period = 0;
            const bool found = first_version ? number(group, "cpu/", "cpu.cfs_quota_us", quota, nullptr) &&
                                                   number(group, "cpu/", "cpu.cfs_period_us", period, nullptr)
                                             : number(group, "", "cpu.max", quota, &period);
            if (found && quota > 0 && period > 0 && !(least_ > 0 && least_ < quota / period)) least_ = quota / period;
            char* parent = std::strrchr(group, '/');
            if (parent == nullptr) return;
            *parent = 0;
        }
    }

    static bool names_cpu(const char* controllers) {
        for (const char* at = controllers; at != nullptr; at = std::strchr(at, ',')) {
            if (*at == ',') ++at;
            if (std::strncmp(at, "cpu", 3) == 0 && (at[3] == 0 || at[3] == ',')) return true;
        }
        return false;
    }

    // The number in a group's file, and the one behind it where `second` asks for it.
    bool number(const char* group, const char* controller, const char* name, double& first, double* second) const {
        char path[longest_path];
        const char* slash = *group == 0 || *group == '/' ? "" : "/";
        const int length =
            std::snprintf(path, sizeof path, "%s/sys/fs/cgroup/%s%s%s/%s", root_, controller, slash, group, name);
        if (length >= int(sizeof path)) return false;
        std::FILE* file = std::fopen(path, "r");
        if (file == nullptr) return false;
        long long numbers[2] = {0, 0};
        const int found = std::fscanf(file, "%lld %lld", &numbers[0], &numbers[1]);
        std::fclose(file);
        first = double(numbers[0]);
        if (second != nullptr) *second = double(numbers[1]);
        return found >= (second == nullptr ? 1 : 2);
    }

    const char* root_;
    double least_ = 0;
};
#endif

}  // namespace
}  // namespace parallel

double cpu_quota([[maybe_unused]] const char* root) {
#ifdef __linux__
    return parallel::Quota(root).least();
#else
    return 0;
#endif
}

namespace parallel {

int usable_cpus() {
    int count = 0;
#ifdef __linux__
    count = affinity_count();
#endif
    if (count < 1) count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#ifdef __linux__
    // Rounded up: half a processor is still one thread.
    if (const double quota = cpu_quota("/"); quota > 0) count = std::min(count, std::max(1, int(std::ceil(quota))));
#endif
    return count;
}

}  // namespace parallel
}  // namespace relu_layers
