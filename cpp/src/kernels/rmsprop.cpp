// RMSProp (Tieleman and Hinton, 2012), as Caffe's RMSPropSolver:
//   h = rho * h + (1 - rho) * g^2;   w -= rate * g / (sqrt(h) + epsilon)
// One pass over parameters, gradient and state, in place; NaN and infinite gradients reach the parameters.
#include "kernels/updates.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void rmsprop_update(T* param, const T* grad, T* square_mean, index_t n, GradientRule<T> rule, T learning_rate, T rho,
                    T one_minus_rho, T epsilon) {
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V w = get(param + i, lanes);
        const V g = effective_gradient(get(grad + i, lanes), w, rule);
        const V h = get(square_mean + i, lanes) * rho + g * g * one_minus_rho;
        put(square_mean + i, h, lanes);
        put(param + i, w - g * learning_rate / (square_root(h) + epsilon), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
