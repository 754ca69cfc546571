// Gradient descent with the rate inside the velocity, as Caffe's SGD and Nesterov solvers:
//   v = momentum * v + rate * g;   w -= v,   or with Nesterov   w -= (1 + momentum) * v_new - momentum * v_old
#include "kernels/updates.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void sgd_update(T* param, const T* grad, T* velocity, index_t n, GradientRule<T> rule, T learning_rate, T momentum,
                T nesterov) {
    for_each_vector<T>(n, [&](index_t i, auto lanes) {
        const V w = get(param + i, lanes);
        const V g = effective_gradient(get(grad + i, lanes), w, rule);
        const V before = get(velocity + i, lanes);
        const V after = before * momentum + g * learning_rate;
        put(velocity + i, after, lanes);
        put(param + i, w - (nesterov != T(0) ? after * (T(1) + momentum) - before * momentum : after), lanes);
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
