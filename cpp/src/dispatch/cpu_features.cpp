// CPUID says what the processor implements, XGETBV whether the operating system saves the wide registers: both must
// agree. Bit numbers: Intel SDM volume 2A, CPUID; volume 1, section 13.3 (XCR0).
#include "dispatch/cpu_features.h"

#ifdef RELU_LAYERS_HAVE_X86_TARGETS

#include <cpuid.h>
#include <cstdint>

namespace relu_layers::dispatch {
namespace {

constexpr unsigned bit(int n) { return 1u << n; }

struct Features {
    bool avx2_and_fma = false;
    bool avx512 = false;
};

std::uint64_t enabled_state() {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (std::uint64_t(high) << 32) | low;
}

Features detect() {
    Features features;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
    const unsigned needed_1 = bit(12) /* FMA */ | bit(27) /* OSXSAVE */ | bit(28) /* AVX */;
    if ((ecx & needed_1) != needed_1) return features;
    const std::uint64_t state = enabled_state();
    constexpr std::uint64_t ymm = 0x6;         // SSE and AVX registers
    constexpr std::uint64_t zmm = ymm | 0xe0;  // and opmask, upper halves, zmm16-31
    if ((state & ymm) != ymm) return features;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return features;
    features.avx2_and_fma = (ebx & bit(5)) != 0;
    const unsigned needed_7 = bit(16) /* F */ | bit(17) /* DQ */ | bit(30) /* BW */ | bit(31) /* VL */;
    features.avx512 = features.avx2_and_fma && (ebx & needed_7) == needed_7 && (state & zmm) == zmm;
    return features;
}

const Features& features() {
    static const Features detected = detect();
    return detected;
}

}  // namespace

bool has_avx2_and_fma() { return features().avx2_and_fma; }
bool has_avx512() { return features().avx512; }

}  // namespace relu_layers::dispatch

#endif
