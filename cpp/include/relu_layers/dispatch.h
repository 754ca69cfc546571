// Which compiled target runs: chosen once from what the processor can do, and changeable at run time.
#pragma once

#include "relu_layers/kernels.h"

namespace relu_layers {

struct Target {
    const char* name;
    bool (*supported)();
    const KernelTable<float>* f32;
    const KernelTable<double>* f64;
};

// Every target compiled into this build, best first; the last one, "baseline", is always supported.
const Target* targets();
index_t target_count();

// The target in use. The first call picks the best supported one, or the one named by RELU_LAYERS_TARGET.
const Target& current_target();

// Selects a target by name. Returns false, changing nothing, when this build or this processor lacks it.
bool use_target(const char* name);

// The value of RELU_LAYERS_TARGET that could not be honoured at the first call, or nullptr.
const char* rejected_target();

template <class T>
const KernelTable<T>& kernels();
template <>
inline const KernelTable<float>& kernels<float>() {
    return *current_target().f32;
}
template <>
inline const KernelTable<double>& kernels<double>() {
    return *current_target().f64;
}

}  // namespace relu_layers
