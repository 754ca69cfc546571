// Optimizer updates in place.
#include <cmath>

#include "bindings/bindings.h"
#include "bindings/operands.h"
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
    void read_penalty(Call& call, Argument penalty) {
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
    // op(n, param, grad, state for each `place`, rule, numbers)
    template <std::size_t... place, class Op, class... Number>
    void run(Call& call, std::index_sequence<place...>, Op op, Number&&... numbers) {
        compute(call, 2 * double(grad.size), op, Same{grad.size}, Written{param}, AsNumbers{grad},
                Written{state[place]}..., Rule{grad_scale, weight_decay, regularization}, numbers...);
    }

  private:
    struct Rule {
        double grad_scale;
        double weight_decay;
        Regularization regularization;

        template <class T>
        GradientRule<T> at(const Run& run) const {
            return {T(grad_scale * run.grad_scale), T(weight_decay), regularization};
        }
    };
};

// The learning rate of each run.
struct Rate {
    double learning_rate;

    template <class T>
    T at(const Run& run) const {
        return T(learning_rate * run.rate);
    }
};

// op(n, param, grad, states, rule, rate, numbers); `States` counts the states.
template <auto op, class States, class... Number>
struct Update;

template <auto op, std::size_t... place, class... Number>
struct Update<op, std::index_sequence<place...>, Number...> {
    template <std::size_t>
    using State = Argument;

    static void call(Call& call, Argument param, Argument grad, State<place>... states, Argument learning_rate,
                     Number... numbers, Argument weight_decay, Argument regularization, Argument grad_scale) {
        Step step(call, learning_rate, weight_decay, grad_scale);
        step.read_penalty(call, regularization);
        (numbers.read(call), ...);
        step.read(call, param, grad, {states...});
        step.run(call, std::index_sequence<place...>(), op, Rate{step.learning_rate}, numbers...);
    }
};

template <auto op, std::size_t states, class... Number>
void update(py::handle m, const char* signature) {
    define<&Update<op, std::make_index_sequence<states>, Number...>::call>(m, signature);
}

// The numbers of Adam, in double until they are rounded once for the kernel.
struct Adam {
    double learning_rate;
    double beta1;
    double beta2;
    double epsilon;
    bool epsilon_hat;
    std::int64_t number;
    double decoupled_decay = 0;  // AdamW's

    Adam(Call& call, double rate, Argument step, Argument beta1_, Argument beta2_, Argument epsilon_,
         Argument epsilon_hat_)
        : learning_rate(rate),
          beta1(decay(call, beta1_)),
          beta2(decay(call, beta2_)),
          epsilon(call.number(epsilon_)),
          epsilon_hat(call.flag(epsilon_hat_)) {
        number = call.integer(step);
        if (number < 1)
            call.value_error("step is %lld, expected >= 1: the first update is step 1", static_cast<long long>(number));
    }
    static double decay(Call& call, Argument given) {
        const double beta = call.number(given);
        if (!(beta >= 0 && beta < 1))
            call.value_error("%s is %R, expected 0 <= %s < 1", given.name, given.value, given.name);
        return beta;
    }
    // The rule of each run.
    template <class T>
    AdamRule<T> at(const Run& run) const {
        const double rate = learning_rate * run.rate;
        const double steps = double(number + run.updates);
        const double correction1 = 1 - std::pow(beta1, steps);
        const double correction2 = 1 - std::pow(beta2, steps);
        const double step_size = epsilon_hat ? rate * std::sqrt(correction2) / correction1 : rate / correction1;
        return {T(beta1),     T(1 - beta1),
                T(beta2),     T(1 - beta2),
                T(step_size), epsilon_hat ? T(1) : T(1 / std::sqrt(correction2)),
                T(epsilon),   T(1 - rate * decoupled_decay)};
    }
};

// Adam, or AdamW, whose decay shrinks the parameters instead of joining the gradient, and which has no other penalty.
template <class... Penalty>
void adam_update(Call& call, Argument param, Argument grad, Argument mean, Argument square_mean, Argument learning_rate,
                 Argument step_number, Argument beta1, Argument beta2, Argument epsilon, Argument epsilon_hat,
                 Argument weight_decay, Penalty... regularization, Argument grad_scale) {
    Step step(call, learning_rate, weight_decay, grad_scale);
    (step.read_penalty(call, regularization), ...);
    Adam adam(call, step.learning_rate, step_number, beta1, beta2, epsilon, epsilon_hat);
    if (sizeof...(Penalty) == 0) std::swap(adam.decoupled_decay, step.weight_decay);
    step.read(call, param, grad, {mean, square_mean});
    step.run(call, std::index_sequence<0, 1>(), RELU_LAYERS_OP(adam_update), adam);
}

}  // namespace

void bind_updates(py::handle m) {
    update<RELU_LAYERS_OP(sgd_update), 1, Real, Switch>(
        m,
        "sgd_update(param, grad, velocity, *, learning_rate, momentum=0.0, nesterov=False, "
        "weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    update<RELU_LAYERS_OP(adagrad_update), 1, Real>(
        m,
        "adagrad_update(param, grad, square_sum, *, learning_rate, epsilon=1e-08, "
        "weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    update<RELU_LAYERS_OP(rmsprop_update), 1, Wide, Real>(
        m,
        "rmsprop_update(param, grad, square_mean, *, learning_rate, rho=0.99, epsilon=1e-08, "
        "weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    update<RELU_LAYERS_OP(adadelta_update), 2, Wide, Real>(
        m,
        "adadelta_update(param, grad, square_mean, update_mean, *, learning_rate=1.0, rho=0.95, "
        "epsilon=1e-06, weight_decay=0.0, regularization='l2', grad_scale=1.0)");
    define<&adam_update<Argument>>(
        m,
        "adam_update(param, grad, mean, square_mean, *, learning_rate=0.001, step, beta1=0.9, "
        "beta2=0.999, epsilon=1e-08, epsilon_hat=False, weight_decay=0.0, regularization='l2', "
        "grad_scale=1.0)");
    define<&adam_update<>>(m,
                           "adamw_update(param, grad, mean, square_mean, *, learning_rate=0.001, step, beta1=0.9, "
                           "beta2=0.999, epsilon=1e-08, epsilon_hat=False, weight_decay=0.01, grad_scale=1.0)");
}

}  // namespace relu_layers::bindings
