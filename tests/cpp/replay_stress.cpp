// Ops and replayed training as Python threads would drive them, to be built with -fsanitize=thread: models that train,
// each on its own thread and with the rows gathered; inferences of one shared model; ops on shared inputs; and a thread
// that changes the number of threads and the target meanwhile. Every result is compared with that of one thread alone;
// exits with 1 on another bit.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"
#include "relu_layers/views.h"
#include "replay/training.h"

namespace {

using namespace relu_layers;
using relu_layers::replay::Phase;
using relu_layers::replay::Place;
using relu_layers::replay::Program;
using relu_layers::replay::Run;
using relu_layers::replay::Slot;

constexpr index_t rows = 16, inputs = 40, hidden = 72, outputs = 5;
constexpr index_t examples = 240;
constexpr index_t parameters = inputs * hidden + hidden + hidden * outputs + outputs;
constexpr int turns = 12;
std::atomic<int> wrong{0};
std::atomic<bool> stop{false};

std::vector<float> normal(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution;
    std::vector<float> numbers(count);
    for (float& number : numbers) number = distribution(random);
    return numbers;
}

struct Examples {
    std::vector<float> x = normal(examples * inputs, 1);
    std::vector<std::int64_t> labels = std::vector<std::int64_t>(examples);
    std::vector<index_t> order = std::vector<index_t>(examples);

    Examples() {
        for (index_t i = 0; i < examples; ++i) {
            labels[static_cast<std::size_t>(i)] = i % outputs;
            order[static_cast<std::size_t>(i)] = (i * 7) % examples;
        }
    }
};

// A network of two layers on flat memory: what the layers of Python record, by hand.
struct Network {
    std::vector<float> params = normal(parameters, 2);
    std::vector<float> grads = std::vector<float>(parameters);
    std::vector<float> sum = std::vector<float>(parameters);
    std::vector<float> velocity = std::vector<float>(parameters);
    std::vector<float> x = std::vector<float>(rows * inputs);
    std::vector<std::int64_t> labels = std::vector<std::int64_t>(rows);
    std::vector<float> y1 = std::vector<float>(rows * hidden);
    std::vector<float> dy1 = std::vector<float>(rows * hidden);
    std::vector<float> y2 = std::vector<float>(rows * outputs);
    std::vector<float> dy2 = std::vector<float>(rows * outputs);
    std::int64_t steps = 0, summed = 0, updates = 0;
    double last_rate = 0;
    Program program;

    float* weight1() { return params.data(); }
    float* bias1() { return weight1() + inputs * hidden; }
    float* weight2() { return bias1() + hidden; }
    float* bias2() { return weight2() + hidden * outputs; }

    Network() {
        for (float& number : params) number *= 0.1F;
        const Place input{x.data(), Slot::input};
        const Place target{labels.data(), Slot::target};
        program.add(Phase::check, [target](Run& run) {
            run.refused =
                ops::find_bad_label(ops::labels_of(target.in<const std::int64_t>(run)), rows, outputs, false, 0) >= 0;
        });
        program.add(Phase::forward, [this, input, target](Run& run) {
            ops::dense_forward(matrix_of(input.in<const float>(run), rows, inputs),
                               matrix_of<float>(weight1(), inputs, hidden), bias1(), Rectifier<float>{true, 0.1F},
                               y1.data());
            ops::dense_forward(matrix_of<float>(y1.data(), rows, hidden), matrix_of<float>(weight2(), hidden, outputs),
                               bias2(), Rectifier<float>{false, 0}, y2.data());
            run.number =
                ops::softmax_cross_entropy(rows_of<float>(y2.data(), rows, outputs), 1,
                                           ops::labels_of(target.in<const std::int64_t>(run)), {}, {}, dy2.data());
        });
        program.add(Phase::backward, [this, input](Run& run) {
            float* grad1 = grads.data();
            float* grad2 = grad1 + inputs * hidden + hidden;
            ops::dense_backward(matrix_of<float>(y1.data(), rows, hidden), matrix_of<float>(weight2(), hidden, outputs),
                                matrix_of<float>(dy2.data(), rows, outputs), Rectifier<float>{true, 0.1F}, dy1.data(),
                                grad2, grad2 + hidden * outputs);
            ops::dense_backward(matrix_of(input.in<const float>(run), rows, inputs),
                                matrix_of<float>(weight1(), inputs, hidden), matrix_of<float>(dy1.data(), rows, hidden),
                                Rectifier<float>{false, 0}, static_cast<float*>(nullptr), grad1,
                                grad1 + inputs * hidden);
        });
        program.add(Phase::collect, [this](Run&) { ops::accumulate(parameters, sum.data(), grads.data()); });
        program.add(Phase::combine, [this](Run&) { ops::accumulate(parameters, grads.data(), sum.data()); });
        program.add(Phase::norm,
                    [this](Run& run) { run.number += ops::sum_of_squares(flat<float>(grads.data(), parameters)); });
        program.add(Phase::update, [this](Run& run) {
            const GradientRule<float> rule{float(run.grad_scale), 0.001F, Regularization::l2};
            ops::sgd_update(parameters, params.data(), grads.data(), velocity.data(), rule, float(run.rate), 0.9F,
                            true);
        });
    }
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    replay::Training training() {
        replay::Training result;
        result.program = &program;
        result.progress = {&steps, &summed, &updates, &last_rate};
        result.gradients = reinterpret_cast<std::byte*>(grads.data());
        result.sum = reinterpret_cast<std::byte*>(sum.data());
        result.gradient_bytes = grads.size() * sizeof(float);
        result.clip_norm = 0.5;
        result.accumulate = 2;
        return result;
    }

    // One epoch in a stretch, the rows gathered in the order of the examples.
    void fit(const Examples& data) {
        std::vector<double> rates(examples / rows + 1);
        for (std::size_t i = 0; i < rates.size(); ++i) rates[i] = 0.1 / double(i + 1);
        double sums[3] = {};
        replay::Stretch stretch{};
        stretch.sources[0] = {reinterpret_cast<const std::byte*>(data.x.data()), reinterpret_cast<std::byte*>(x.data()),
                              inputs * index_t(sizeof(float))};
        stretch.sources[1] = {reinterpret_cast<const std::byte*>(data.labels.data()),
                              reinterpret_cast<std::byte*>(labels.data()), index_t(sizeof(std::int64_t))};
        stretch.order = data.order.data();
        stretch.rows = rows;
        stretch.steps = examples / rows;
        stretch.seconds = 1e9;
        stretch.rates = rates.data();
        stretch.close_last = true;
        stretch.share = double(rows);
        stretch.sums = sums;
        if (replay::run_steps(training(), stretch) != stretch.steps) ++wrong;
    }
};

std::vector<float> trained(const Examples& data, int epochs) {
    Network network;
    for (int i = 0; i < epochs; ++i) network.fit(data);
    return network.params;
}

// The shared model: outputs of all examples, into memory of the caller's own.
std::vector<float> inferred(Network& model, const Examples& data) {
    std::vector<float> between(examples * hidden);
    std::vector<float> result(examples * outputs);
    ops::dense_forward(matrix_of(data.x.data(), examples, inputs), matrix_of<float>(model.weight1(), inputs, hidden),
                       model.bias1(), Rectifier<float>{true, 0.1F}, between.data());
    ops::dense_forward(matrix_of<float>(between.data(), examples, hidden),
                       matrix_of<float>(model.weight2(), hidden, outputs), model.bias2(), Rectifier<float>{false, 0},
                       result.data());
    return result;
}

// Ops with memory beside their operands, on inputs that all threads read.
std::vector<float> other_ops(const Examples& data) {
    std::vector<float> result(inputs * inputs + 2 * examples * inputs);
    float* soft = result.data() + inputs * inputs;
    const Matrix<const float> x = matrix_of(data.x.data(), examples, inputs);
    ops::matmul(transposed(x), x, false, Rows<float>{result.data(), inputs, inputs, inputs});
    ops::softmax_forward(rows_of(data.x.data(), examples, inputs), 1, soft);
    ops::dropout(flat(data.x.data(), examples * inputs), 0.3, 7, 9, soft + examples * inputs);
    return result;
}

template <class Work>
void repeat(const std::vector<float>& expected, Work work) {
    for (int i = 0; i < turns; ++i)
        if (work() != expected) ++wrong;
}

void change_settings() {
    for (int i = 0; !stop; ++i) {
        set_num_threads(1 + i % 5);
        std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
}

}  // namespace

int main() {
    const Examples data;
    Network shared;
    set_num_threads(1);
    const std::vector<float> after_training = trained(data, 2);
    const std::vector<float> after_inference = inferred(shared, data);
    const std::vector<float> after_ops = other_ops(data);
    set_num_threads(4);
    set_parallel_threshold(0);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { repeat(after_training, [&] { return trained(data, 2); }); });
        threads.emplace_back([&] { repeat(after_inference, [&] { return inferred(shared, data); }); });
        threads.emplace_back([&] { repeat(after_ops, [&] { return other_ops(data); }); });
    }
    std::thread settings(change_settings);
    for (std::thread& thread : threads) thread.join();
    stop = true;
    settings.join();
    std::printf("%d wrong\n", wrong.load());
    return wrong.load() == 0 ? 0 : 1;
}
