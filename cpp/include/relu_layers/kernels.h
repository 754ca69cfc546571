// The kernel table: one function pointer per line of kernels.def, filled once per target and element type.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers {

template <class Element>
struct KernelTable {
    using T = Element;
#define RELU_LAYERS_KERNEL(result, name, parameters) result(*name) parameters;
#include "relu_layers/kernels.def"
#undef RELU_LAYERS_KERNEL
};

}  // namespace relu_layers
