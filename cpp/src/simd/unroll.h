// RL_UNROLL before a loop over registers: such loops must vanish entirely, or what they index lives on the stack.
#pragma once

#if defined(__clang__)
#define RL_UNROLL _Pragma("unroll")
#else
#define RL_UNROLL _Pragma("GCC unroll 16")
#endif
