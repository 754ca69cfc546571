// AdaGrad (Duchi, Hazan and Singer, 2011), as Caffe's AdaGradSolver:
//   h += g^2;   w -= rate * g / (sqrt(h) + epsilon)
// One pass over parameters, gradient and state, in place; NaN and infinite gradients reach the parameters.
#include "kernels/updates.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void adagrad_update(T* param, const T* grad, T* square_sum, index_t n, GradientRule<T> rule, T learning_rate,
                    T epsilon) {
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V w = get(param + i, lanes);
        const V g = effective_gradient(get(grad + i, lanes), w, rule);
        const V h = get(square_sum + i, lanes) + g * g;
        put(square_sum + i, h, lanes);
        put(param + i, w - g * learning_rate / (square_root(h) + epsilon), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
