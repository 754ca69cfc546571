// Optimizer updates in place.
#include <cmath>

#include "bindings/bindings.h"
#include "bindings/layout.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {
namespace {

// What every update takes: the parameters, their gradient, one or two arrays of state, and the common numbers.
struct Step {
    Array param;
    Array grad;
    Array state[2];
    double learning_rate;
    double weight_decay;
    double grad_scale;
    Regularization regularization = Regularization::l2;

    Step(Call& call, Argument rate, Argument decay, Argument scale)
        : learning_rate(call.number(rate)), weight_decay(call.number(decay)), grad_scale(call.number(scale)) {}
    Step(Call& call, Argument rate, Argument decay, Argument scale, Argument penalty) : Step(call, rate, decay, scale) {
        if (call.choice(penalty, {"l2", "l1"}) == 1) regularization = Regularization::l1;
    }
    void read(Call& call, Argument param_, Argument grad_, std::initializer_list<Argument> states) {
        read_contiguous(call, grad, grad_);
        call.update(param, param_, Shape(grad), grad.type);
        Array* next = state;
        for (const Argument& given : states) call.update(*next++, given, Shape(grad), grad.type);
        call.check_overlap(param, {&grad});
        call.check_overlap(state[0], {&grad, &param});
        if (state[1].present()) call.check_overlap(state[1], {&grad, &param, &state[0]});
    }
    // f(n, param, grad, state, second state, rule, learning rate, run)
    template <class Function>
    void run(Call& call, Function function) {
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const auto params = param.pointer<T>();
            const auto grads = contiguous<T>(call, grad);
            const auto first = state[0].pointer<T>();
            const auto second = state[1].pointer<T>();
            call.run(2 * double(grad.size), [=, n = grad.size, decay = weight_decay, penalty = regularization,
                                             rate = learning_rate, scale = grad_scale](Run& run) {
                const GradientRule<T> rule{T(scale * run.grad_scale), T(decay), penalty};
                function(n, params(run), grads(run), first(run), second(run), rule, T(rate * run.rate), run);
            });
        });
    }
};

void sgd_update(Call& call, Argument param, Argument grad, Argument velocity, Argument learning_rate,
                Argument momentum_, Argument nesterov_, Argument weight_decay, Argument regularization,
                Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale, regularization);
    const double momentum = call.number(momentum_);
    const bool nesterov = call.flag(nesterov_);
    step.read(call, param, grad, {velocity});
    step.run(call, [=](index_t n, auto* w, auto* g, auto* v, auto*, auto rule, auto rate, const Run&) {
        ops::sgd_update(n, w, g, v, rule, rate, decltype(rate)(momentum), nesterov);
    });
}

void adagrad_update(Call& call, Argument param, Argument grad, Argument square_sum, Argument learning_rate,
                    Argument epsilon_, Argument weight_decay, Argument regularization, Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale, regularization);
    const double epsilon = call.number(epsilon_);
    step.read(call, param, grad, {square_sum});
    step.run(call, [=](index_t n, auto* w, auto* g, auto* h, auto*, auto rule, auto rate, const Run&) {
        ops::adagrad_update(n, w, g, h, rule, rate, decltype(rate)(epsilon));
    });
}

void rmsprop_update(Call& call, Argument param, Argument grad, Argument square_mean, Argument learning_rate,
                    Argument rho_, Argument epsilon_, Argument weight_decay, Argument regularization,
                    Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale, regularization);
    const double rho = call.number(rho_);
    const double epsilon = call.number(epsilon_);
    step.read(call, param, grad, {square_mean});
    step.run(call, [=](index_t n, auto* w, auto* g, auto* h, auto*, auto rule, auto rate, const Run&) {
        ops::rmsprop_update(n, w, g, h, rule, rate, rho, decltype(rate)(epsilon));
    });
}

void adadelta_update(Call& call, Argument param, Argument grad, Argument square_mean, Argument update_mean,
                     Argument learning_rate, Argument rho_, Argument epsilon_, Argument weight_decay,
                     Argument regularization, Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale, regularization);
    const double rho = call.number(rho_);
    const double epsilon = call.number(epsilon_);
    step.read(call, param, grad, {square_mean, update_mean});
    step.run(call, [=](index_t n, auto* w, auto* g, auto* h, auto* d, auto rule, auto rate, const Run&) {
        ops::adadelta_update(n, w, g, h, d, rule, rate, rho, decltype(rate)(epsilon));
    });
}

// The numbers of Adam, in double until they are rounded once for the kernel.
struct Adam {
    double beta1;
    double beta2;
    double epsilon;
    bool epsilon_hat;
    std::int64_t number;
    double decoupled_decay = 0;  // AdamW's

    Adam(Call& call, Argument step, Argument beta1_, Argument beta2_, Argument epsilon_, Argument epsilon_hat_)
        : beta1(decay(call, beta1_)),
          beta2(decay(call, beta2_)),
          epsilon(call.number(epsilon_)),
          epsilon_hat(call.flag(epsilon_hat_)) {
        number = call.integer(step);
        if (number < 1)
            call.value_error("step is " + std::to_string(number) + ", expected >= 1: the first update is step 1");
    }
    static double decay(Call& call, Argument given) {
        const double beta = call.number(given);
        if (!(beta >= 0 && beta < 1))
            call.value_error(std::string(given.name) + " is " + repr_of(given.value) + ", expected 0 <= " + given.name +
                             " < 1");
        return beta;
    }
    template <class T>
    AdamRule<T> rule(double learning_rate, std::int64_t more_updates) const {
        const double steps = double(number + more_updates);
        const double correction1 = 1 - std::pow(beta1, steps);
        const double correction2 = 1 - std::pow(beta2, steps);
        const double step_size =
            epsilon_hat ? learning_rate * std::sqrt(correction2) / correction1 : learning_rate / correction1;
        return {T(beta1),     T(1 - beta1),
                T(beta2),     T(1 - beta2),
                T(step_size), epsilon_hat ? T(1) : T(1 / std::sqrt(correction2)),
                T(epsilon),   T(1 - learning_rate * decoupled_decay)};
    }
};

void run_adam(Call& call, Step& step, const Adam& adam) {
    step.run(call, [=, learning_rate = step.learning_rate](index_t n, auto* w, auto* g, auto* mean, auto* square_mean,
                                                           auto rule, auto rate, const Run& run) {
        using T = decltype(rate);
        ops::adam_update(n, w, g, mean, square_mean, rule, adam.rule<T>(learning_rate * run.rate, run.updates));
    });
}

void adam_update(Call& call, Argument param, Argument grad, Argument mean, Argument square_mean, Argument learning_rate,
                 Argument step_number, Argument beta1, Argument beta2, Argument epsilon, Argument epsilon_hat,
                 Argument weight_decay, Argument regularization, Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale, regularization);
    const Adam adam(call, step_number, beta1, beta2, epsilon, epsilon_hat);
    step.read(call, param, grad, {mean, square_mean});
    run_adam(call, step, adam);
}

void adamw_update(Call& call, Argument param, Argument grad, Argument mean, Argument square_mean,
                  Argument learning_rate, Argument step_number, Argument beta1, Argument beta2, Argument epsilon,
                  Argument epsilon_hat, Argument weight_decay, Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale);
    Adam adam(call, step_number, beta1, beta2, epsilon, epsilon_hat);
    adam.decoupled_decay = step.weight_decay;
    step.weight_decay = 0;  // decoupled: it shrinks the parameters instead of joining the gradient
    step.read(call, param, grad, {mean, square_mean});
    run_adam(call, step, adam);
}

}  // namespace

void bind_updates(py::handle m) {
    define<&sgd_update>(m,
                        "sgd_update(param, grad, velocity, *, learning_rate, momentum=0.0, nesterov=False, "
                        "weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    define<&adagrad_update>(m,
                            "adagrad_update(param, grad, square_sum, *, learning_rate, epsilon=1e-08, "
                            "weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    define<&rmsprop_update>(m,
                            "rmsprop_update(param, grad, square_mean, *, learning_rate, rho=0.99, epsilon=1e-08, "
                            "weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    define<&adadelta_update>(m,
                             "adadelta_update(param, grad, square_mean, update_mean, *, learning_rate=1.0, rho=0.95, "
                             "epsilon=1e-06, weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    define<&adam_update>(m,
                         "adam_update(param, grad, mean, square_mean, *, learning_rate=0.001, step, beta1=0.9, "
                         "beta2=0.999, epsilon=1e-08, epsilon_hat=False, weight_decay=0.0, regularization='l2', "
                         "grad_scale=1.0)");
    define<&adamw_update>(m,
                          "adamw_update(param, grad, mean, square_mean, *, learning_rate=0.001, step, beta1=0.9, "
                          "beta2=0.999, epsilon=1e-08, epsilon_hat=False, weight_decay=0.01, grad_scale=1.0)");
}

}  // namespace relu_layers::bindings
