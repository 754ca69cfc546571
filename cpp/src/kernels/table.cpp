// The table of this target and element type, in the order of the lists.
#define RELU_LAYERS_KERNELS "table/kernels.def"
#include "kernels/kernel.h"
#include "kernels/product_sizes.h"
#include "table/kernel_table.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

extern const KernelTable<T> table;
const KernelTable<T> table = {
#define RELU_LAYERS_KERNEL(result, name, parameters) &name,
#define RELU_LAYERS_CONSTANT(name) name,
#include "table/kernels.def"
#undef RELU_LAYERS_CONSTANT
#undef RELU_LAYERS_KERNEL
};

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
