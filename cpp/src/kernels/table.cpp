// The table of this target and element type, in the order of kernels.def.
#include "relu_layers/kernels.h"

#include "kernels/gemm.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

extern const KernelTable<T> table;
const KernelTable<T> table = {
#define RELU_LAYERS_KERNEL(result, name, parameters) &name,
#define RELU_LAYERS_CONSTANT(name) name,
#include "relu_layers/kernels.def"
#undef RELU_LAYERS_CONSTANT
#undef RELU_LAYERS_KERNEL
};

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
