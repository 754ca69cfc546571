#pragma once

namespace relu_layers::parallel {

// Leaves the processor's units to the other thread of its core for some ten cycles.
inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

}  // namespace relu_layers::parallel
