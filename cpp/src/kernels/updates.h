// What the update kernels share: the gradient that counts.
#pragma once

#define RELU_LAYERS_KERNELS "table/updates.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

RELU_LAYERS_INLINE V effective_gradient(V grad, V param, const GradientRule<T>& rule) {
    const V zero = broadcast(T(0));
    const V one = broadcast(T(1));
    const V penalty = rule.regularization == Regularization::l2
                          ? param
                          : (param > zero   ? one
                             : param < zero ? -one
                                            : param);  // sign, with NaN and 0 kept
    return grad * rule.grad_scale + penalty * rule.weight_decay;
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
