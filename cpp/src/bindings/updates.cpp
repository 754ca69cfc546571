// Optimizer updates in place.
#include <cmath>

#include "bindings/bindings.h"
#include "bindings/fastcall.h"
#include "bindings/layout.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {
namespace {

// What every update takes: the parameters, their gradient, one or two arrays of state, and the common numbers.
struct Step {
    Array param;
    Array grad;
    Array state[2];
    double learning_rate = 0;
    double weight_decay = 0;
    double grad_scale = 1;
    Regularization regularization = Regularization::l2;

    void read_numbers(Call& call, py::handle rate, py::handle decay, py::handle scale) {
        learning_rate = call.number("learning_rate", rate);
        weight_decay = call.number("weight_decay", decay);
        grad_scale = call.number("grad_scale", scale);
    }
    void read_regularization(Call& call, py::handle value) {
        regularization =
            call.choice("regularization", value, {"l2", "l1"}) == 0 ? Regularization::l2 : Regularization::l1;
    }
    void read_arrays(Call& call, py::handle param_, py::handle grad_, const char* name, py::handle value,
                     const char* second_name = nullptr, py::handle second = py::handle()) {
        read_run(call, grad, "grad", grad_);
        call.update(param, "param", param_, Shape(grad), grad.type);
        call.update(state[0], name, value, Shape(grad), grad.type);
        if (second_name != nullptr) call.update(state[1], second_name, second, Shape(grad), grad.type);
        call.check_overlap(param, {&grad});
        call.check_overlap(state[0], {&grad, &param});
        if (second_name != nullptr) call.check_overlap(state[1], {&grad, &param, &state[0]});
    }
    // f(n, param, grad, state, second state, rule, learning rate, now)
    template <class Function>
    void run(Call& call, Function function) {
        for_type(call, [&](auto element) {
            using T = decltype(element);
            const auto params = param.run<T>();
            const auto grads = run_of<T>(call, grad);
            const auto first = state[0].run<T>();
            const auto second = state[1].run<T>();
            call.run(2 * double(grad.size), [=, n = grad.size, decay = weight_decay, penalty = regularization,
                                             rate = learning_rate, scale = grad_scale](Moment& now) {
                const GradientRule<T> rule{T(scale * now.grad_scale), T(decay), penalty};
                function(n, params(now), grads(now), first(now), second(now), rule, T(rate * now.rate), now);
            });
        });
    }
};

void sgd_update(py::handle param, py::handle grad, py::handle velocity, py::handle learning_rate, py::handle momentum_,
                py::handle nesterov_, py::handle weight_decay, py::handle regularization, py::handle grad_scale) {
    Call call("sgd_update");
    Step step;
    step.read_numbers(call, learning_rate, weight_decay, grad_scale);
    step.read_regularization(call, regularization);
    const double momentum = call.number("momentum", momentum_);
    const bool nesterov = call.flag("nesterov", nesterov_);
    step.read_arrays(call, param, grad, "velocity", velocity);
    step.run(call, [=](index_t n, auto* w, auto* g, auto* v, auto*, auto rule, auto rate, const Moment&) {
        ops::sgd_update(n, w, g, v, rule, rate, decltype(rate)(momentum), nesterov);
    });
}

void adagrad_update(py::handle param, py::handle grad, py::handle square_sum, py::handle learning_rate,
                    py::handle epsilon_, py::handle weight_decay, py::handle regularization, py::handle grad_scale) {
    Call call("adagrad_update");
    Step step;
    step.read_numbers(call, learning_rate, weight_decay, grad_scale);
    step.read_regularization(call, regularization);
    const double epsilon = call.number("epsilon", epsilon_);
    step.read_arrays(call, param, grad, "square_sum", square_sum);
    step.run(call, [=](index_t n, auto* w, auto* g, auto* h, auto*, auto rule, auto rate, const Moment&) {
        ops::adagrad_update(n, w, g, h, rule, rate, decltype(rate)(epsilon));
    });
}

void rmsprop_update(py::handle param, py::handle grad, py::handle square_mean, py::handle learning_rate,
                    py::handle rho_, py::handle epsilon_, py::handle weight_decay, py::handle regularization,
                    py::handle grad_scale) {
    Call call("rmsprop_update");
    Step step;
    step.read_numbers(call, learning_rate, weight_decay, grad_scale);
    step.read_regularization(call, regularization);
    const double rho = call.number("rho", rho_);
    const double epsilon = call.number("epsilon", epsilon_);
    step.read_arrays(call, param, grad, "square_mean", square_mean);
    step.run(call, [=](index_t n, auto* w, auto* g, auto* h, auto*, auto rule, auto rate, const Moment&) {
        ops::rmsprop_update(n, w, g, h, rule, rate, rho, decltype(rate)(epsilon));
    });
}

void adadelta_update(py::handle param, py::handle grad, py::handle square_mean, py::handle update_mean,
                     py::handle learning_rate, py::handle rho_, py::handle epsilon_, py::handle weight_decay,
                     py::handle regularization, py::handle grad_scale) {
    Call call("adadelta_update");
    Step step;
    step.read_numbers(call, learning_rate, weight_decay, grad_scale);
    step.read_regularization(call, regularization);
    const double rho = call.number("rho", rho_);
    const double epsilon = call.number("epsilon", epsilon_);
    step.read_arrays(call, param, grad, "square_mean", square_mean, "update_mean", update_mean);
    step.run(call, [=](index_t n, auto* w, auto* g, auto* h, auto* d, auto rule, auto rate, const Moment&) {
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

    Adam(Call& call, py::handle step, py::handle beta1_, py::handle beta2_, py::handle epsilon_,
         py::handle epsilon_hat_)
        : beta1(decay(call, "beta1", beta1_)),
          beta2(decay(call, "beta2", beta2_)),
          epsilon(call.number("epsilon", epsilon_)),
          epsilon_hat(call.flag("epsilon_hat", epsilon_hat_)) {
        number = call.integer("step", step);
        if (number < 1)
            call.value_error("step is " + std::to_string(number) + ", expected >= 1: the first update is step 1");
    }
    static double decay(Call& call, const char* name, py::handle value) {
        const double beta = call.number(name, value);
        if (!(beta >= 0 && beta < 1))
            call.value_error(std::string(name) + " is " + repr_of(value) + ", expected 0 <= " + name + " < 1");
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
                                                           auto rule, auto rate, const Moment& now) {
        using T = decltype(rate);
        ops::adam_update(n, w, g, mean, square_mean, rule, adam.rule<T>(learning_rate * now.rate, now.updates));
    });
}

void adam_update(py::handle param, py::handle grad, py::handle mean, py::handle square_mean, py::handle learning_rate,
                 py::handle step_number, py::handle beta1, py::handle beta2, py::handle epsilon, py::handle epsilon_hat,
                 py::handle weight_decay, py::handle regularization, py::handle grad_scale) {
    Call call("adam_update");
    Step step;
    step.read_numbers(call, learning_rate, weight_decay, grad_scale);
    step.read_regularization(call, regularization);
    const Adam adam(call, step_number, beta1, beta2, epsilon, epsilon_hat);
    step.read_arrays(call, param, grad, "mean", mean, "square_mean", square_mean);
    run_adam(call, step, adam);
}

void adamw_update(py::handle param, py::handle grad, py::handle mean, py::handle square_mean, py::handle learning_rate,
                  py::handle step_number, py::handle beta1, py::handle beta2, py::handle epsilon,
                  py::handle epsilon_hat, py::handle weight_decay, py::handle grad_scale) {
    Call call("adamw_update");
    Step step;
    step.read_numbers(call, learning_rate, weight_decay, grad_scale);
    Adam adam(call, step_number, beta1, beta2, epsilon, epsilon_hat);
    adam.decoupled_decay = step.weight_decay;
    step.weight_decay = 0;  // decoupled: it shrinks the parameters instead of joining the gradient
    step.read_arrays(call, param, grad, "mean", mean, "square_mean", square_mean);
    run_adam(call, step, adam);
}

}  // namespace

void bind_updates(py::module_& m) {
    define<&sgd_update>(m,
                        "sgd_update(param, grad, velocity, learning_rate, momentum, nesterov, weight_decay, "
                        "regularization, grad_scale)");
    define<&adagrad_update>(
        m, "adagrad_update(param, grad, square_sum, learning_rate, epsilon, weight_decay, regularization, grad_scale)");
    define<&rmsprop_update>(m,
                            "rmsprop_update(param, grad, square_mean, learning_rate, rho, epsilon, weight_decay, "
                            "regularization, grad_scale)");
    define<&adadelta_update>(m,
                             "adadelta_update(param, grad, square_mean, update_mean, learning_rate, rho, epsilon, "
                             "weight_decay, regularization, grad_scale)");
    define<&adam_update>(m,
                         "adam_update(param, grad, mean, square_mean, learning_rate, step, beta1, beta2, epsilon, "
                         "epsilon_hat, weight_decay, regularization, grad_scale)");
    define<&adamw_update>(m,
                          "adamw_update(param, grad, mean, square_mean, learning_rate, step, beta1, beta2, epsilon, "
                          "epsilon_hat, weight_decay, grad_scale)");
}

}  // namespace relu_layers::bindings
