#include "relu_layers/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "dispatch/cpu_features.h"
#include "dispatch/kernels.h"
#include "table/kernel_table.h"

namespace relu_layers {

#define RELU_LAYERS_DECLARE_TABLES(target)  \
    namespace target::f32 {                 \
    extern const KernelTable<float> table;  \
    }                                       \
    namespace target::f64 {                 \
    extern const KernelTable<double> table; \
    }
#ifdef RELU_LAYERS_HAVE_X86_TARGETS
RELU_LAYERS_DECLARE_TABLES(avx512)
RELU_LAYERS_DECLARE_TABLES(avx2)
#endif
#ifdef RELU_LAYERS_HAVE_NEON_TARGET
RELU_LAYERS_DECLARE_TABLES(neon)
#else
RELU_LAYERS_DECLARE_TABLES(baseline)
#endif
#undef RELU_LAYERS_DECLARE_TABLES

namespace dispatch {
std::atomic<const Target*> in_use{nullptr};
}
using dispatch::in_use;

namespace {

bool always() { return true; }

// Best first.
const Target all_targets[] = {
#ifdef RELU_LAYERS_HAVE_X86_TARGETS
    {"avx512", dispatch::has_avx512, &avx512::f32::table, &avx512::f64::table},
    {"avx2", dispatch::has_avx2_and_fma, &avx2::f32::table, &avx2::f64::table},
#endif
#ifdef RELU_LAYERS_HAVE_NEON_TARGET
    {"neon", always, &neon::f32::table, &neon::f64::table},
#else
    {"baseline", always, &baseline::f32::table, &baseline::f64::table},
#endif
};

std::atomic<const char*> rejected{nullptr};

const Target* find_supported(const char* name) {
    for (const Target& target : all_targets)
        if (std::strcmp(target.name, name) == 0 && target.supported()) return &target;
    return nullptr;
}

const Target* choose() {
    const char* wanted = std::getenv("RELU_LAYERS_TARGET");
    if (wanted != nullptr && *wanted != '\0') {
        if (const Target* target = find_supported(wanted)) return target;
        rejected.store(wanted);
    }
    for (const Target& target : all_targets)
        if (target.supported()) return &target;
    return &all_targets[target_count() - 1];
}

}  // namespace

const Target* targets() { return all_targets; }
index_t target_count() { return index_t(sizeof(all_targets) / sizeof(all_targets[0])); }

const Target& current_target() {
    const Target* target = in_use.load(std::memory_order_acquire);
    if (target == nullptr) {
        target = choose();
        const Target* none = nullptr;
        if (!in_use.compare_exchange_strong(none, target)) target = none;
    }
    return *target;
}

bool use_target(const char* name) {
    const Target* target = find_supported(name);
    if (target == nullptr) return false;
    in_use.store(target, std::memory_order_release);
    return true;
}

const char* rejected_target() { return rejected.load(); }

}  // namespace relu_layers
