// Included first by every kernel file: the element type, the vectors, and the declarations made from kernels.def, which
// each definition must match or the link fails.
#pragma once

#include "simd/loops.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

using T = RELU_LAYERS_ELEMENT;
namespace {
using V = Vec<T>;
using I = IntVec<T>;
}  // namespace

#define RELU_LAYERS_KERNEL(result, name, parameters) result name parameters;
#define RELU_LAYERS_CONSTANT(name)
#include "relu_layers/kernels.def"
#undef RELU_LAYERS_CONSTANT
#undef RELU_LAYERS_KERNEL

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
