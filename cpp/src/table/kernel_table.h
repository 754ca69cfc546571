// The kernel table: one member per line of the lists, filled once per target and element type.
#pragma once

#include "table/arguments.h"

namespace relu_layers {

template <class Element>
struct KernelTable {
    using T = Element;
#define RELU_LAYERS_KERNEL(result, name, parameters) result(*name) parameters;
#define RELU_LAYERS_CONSTANT(name) index_t name;
#include "table/kernels.def"
#undef RELU_LAYERS_CONSTANT
#undef RELU_LAYERS_KERNEL
};

}  // namespace relu_layers
