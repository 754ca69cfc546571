// Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019):
//   m = beta1 * m + (1 - beta1) * g;   v = beta2 * v + (1 - beta2) * g^2;
//   w = shrink * w - step_size * m / (sqrt(v) * denominator_scale + epsilon)
// The caller puts the bias corrections of either form into the two scales; shrink is AdamW's decoupled decay, 1 for
// Adam. One pass over parameters, gradient and state, in place; NaN and infinite gradients reach the parameters.
#include "kernels/updates.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void adam_update(T* param, const T* grad, T* mean, T* square_mean, index_t n, GradientRule<T> rule, AdamRule<T> adam) {
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V w = get(param + i, lanes) * adam.shrink;
        const V g = effective_gradient(get(grad + i, lanes), w, rule);
        const V m = get(mean + i, lanes) * adam.beta1 + g * adam.one_minus_beta1;
        const V v = get(square_mean + i, lanes) * adam.beta2 + g * g * adam.one_minus_beta2;
        put(mean + i, m, lanes);
        put(square_mean + i, v, lanes);
        put(param + i, w - m * adam.step_size / (square_root(v) * adam.denominator_scale + adam.epsilon), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
