// RL_UNROLL before a loop over registers: such loops must vanish entirely, or what they index lives on the stack. No other
// loop of a kernel needs to be unrolled.
// RELU_LAYERS_NOINLINE for what is called from several places and is too long for a copy in each; always within an
// unnamed namespace.
#pragma once

#if defined(__clang__)
#define RL_UNROLL _Pragma("unroll")
#else
#define RL_UNROLL _Pragma("GCC unroll 16")
#endif
#define RELU_LAYERS_NOINLINE __attribute__((noinline))
