// Which compiled target runs: chosen once from what the processor can do, and changeable at run time.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers {

// The kernels of one target and element type: the library's own affair.
template <class T>
struct KernelTable;

struct Target {
    const char* name;
    bool (*supported)();
    const KernelTable<float>* f32;
    const KernelTable<double>* f64;
};

// Every target compiled into this build, best first. The last one, "baseline" or on 64-bit ARM "neon", is always
// supported.
const Target* targets();
index_t target_count();

// The target in use. The first call picks the best supported one, or the one named by RELU_LAYERS_TARGET.
const Target& current_target();

// Selects a target by name. Returns false, changing nothing, when this build or this processor lacks it.
bool use_target(const char* name);

// The value of RELU_LAYERS_TARGET that could not be honoured at the first call, or nullptr.
const char* rejected_target();

}  // namespace relu_layers
