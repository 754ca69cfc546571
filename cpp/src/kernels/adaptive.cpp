// Updates scaled by a history of squared gradients, with the formulas of Caffe's solvers:
//   AdaGrad    h += g^2;                          w -= rate * g / (sqrt(h) + epsilon)       (Duchi et al. 2011)
//   RMSProp    h = rho h + (1 - rho) g^2;         w -= rate * g / (sqrt(h) + epsilon)       (Tieleman & Hinton 2012)
//   AdaDelta   h as RMSProp, u = g * sqrt((d + epsilon) / (h + epsilon)), d = rho d + (1 - rho) u^2;   w -= rate * u
//   (Zeiler 2012) Adam       m, v moving means of g and g^2;    w -= step_size * m / (sqrt(v) * denominator_scale +
//   epsilon)
//              (Kingma & Ba 2015; the caller puts the bias corrections into the two scales); AdamW shrinks w first
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
