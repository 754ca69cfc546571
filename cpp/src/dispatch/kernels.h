// The kernels of the target in use.
#pragma once

#include "relu_layers/dispatch.h"
#include "table/kernel_table.h"

namespace relu_layers {

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
