// The kernels of the target in use.
#pragma once

#include <atomic>

#include "relu_layers/dispatch.h"
#include "table/kernel_table.h"

namespace relu_layers {

namespace dispatch {
extern std::atomic<const Target*> in_use;  // null until a target is asked for
}

// Ops ask several times each: what is known is read here.
inline const Target& known_target() {
    const Target* const target = dispatch::in_use.load(std::memory_order_acquire);
    return target != nullptr ? *target : current_target();
}

template <class T>
const KernelTable<T>& kernels();
template <>
inline const KernelTable<float>& kernels<float>() {
    return *known_target().f32;
}
template <>
inline const KernelTable<double>& kernels<double>() {
    return *known_target().f64;
}

}  // namespace relu_layers
