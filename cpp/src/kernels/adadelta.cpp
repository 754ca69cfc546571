// AdaDelta (Zeiler, 2012), as Caffe's AdaDeltaSolver:
//   h = rho * h + (1 - rho) * g^2;   u = g * sqrt((d + epsilon) / (h + epsilon));   d = rho * d + (1 - rho) * u^2;
//   w -= rate * u
// One pass over parameters, gradient and state, in place; NaN and infinite gradients reach the parameters.
#include "kernels/updates.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void adadelta_update(T* param, const T* grad, T* square_mean, T* update_mean, index_t n, GradientRule<T> rule,
                     T learning_rate, T rho, T one_minus_rho, T epsilon) {
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V w = get(param + i, lanes);
        const V g = effective_gradient(get(grad + i, lanes), w, rule);
        const V h = get(square_mean + i, lanes) * rho + g * g * one_minus_rho;
        const V d = get(update_mean + i, lanes);
        const V u = g * square_root((d + epsilon) / (h + epsilon));
        put(square_mean + i, h, lanes);
        put(update_mean + i, d * rho + u * u * one_minus_rho, lanes);
        put(param + i, w - u * learning_rate, lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
