// Included first by every kernel file: the element type, the vectors, and the declarations made from the list that the
// file names in RELU_LAYERS_KERNELS; each definition must match its own or the table does not link.
#pragma once

#include "simd/loops.h"
#include "table/arguments.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

using T = RELU_LAYERS_ELEMENT;
namespace {
using V = Vec<T>;
using I = IntVec<T>;
}  // namespace

#define RELU_LAYERS_KERNEL(result, name, parameters) result name parameters;
#define RELU_LAYERS_CONSTANT(name)
#include RELU_LAYERS_KERNELS
#undef RELU_LAYERS_CONSTANT
#undef RELU_LAYERS_KERNEL

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
