// XOR learned by a 2-8-2 network: dense, ReLU, dense, softmax cross entropy, gradient descent, on plain vectors.
#include <cstdio>
#include <random>
#include <vector>

#include "relu_layers/relu_layers.h"

namespace ops = relu_layers::ops;
using relu_layers::matrix_of;
using relu_layers::rows_of;

namespace {

constexpr relu_layers::index_t batch = 4, in_features = 2, hidden = 8, classes = 2;

// A dense layer with its gradients; weight is (in, out), row by row.
struct Dense {
    relu_layers::index_t in, out;
    std::vector<float> weight, bias, dweight, dbias;

    Dense(relu_layers::index_t in_size, relu_layers::index_t out_size, std::mt19937& random)
        : in(in_size), out(out_size), weight(size_t(in * out)), bias(size_t(out)), dweight(weight), dbias(bias) {
        std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
        for (float& w : weight) w = uniform(random);
    }
    void forward(const float* x, float* y) const {
        ops::dense_forward(matrix_of(x, batch, in), matrix_of(weight.data(), in, out), bias.data(), {}, y);
    }
    // dx may be null.
    void backward(const float* x, const float* dy, float* dx) {
        ops::dense_backward(matrix_of(x, batch, in), matrix_of(weight.data(), in, out), matrix_of(dy, batch, out), {},
                            dx, dweight.data(), dbias.data());
    }
    void update(float learning_rate) {
        for (size_t i = 0; i < weight.size(); ++i) weight[i] -= learning_rate * dweight[i];
        for (size_t i = 0; i < bias.size(); ++i) bias[i] -= learning_rate * dbias[i];
    }
};

}  // namespace

int main() {
    const std::vector<float> x{0, 0, 0, 1, 1, 0, 1, 1};
    const std::vector<int> labels{0, 1, 1, 0};
    std::mt19937 random(1);
    Dense first(in_features, hidden, random), second(hidden, classes, random);
    std::vector<float> h(batch * hidden), a(h), da(h), dh(h);
    std::vector<float> logits(batch * classes), dlogits(logits);

    double loss = 0;
    for (int step = 0; step < 1000; ++step) {
        first.forward(x.data(), h.data());
        ops::relu_forward(rows_of(h.data(), batch, hidden), 0.0f, a.data());
        second.forward(a.data(), logits.data());
        loss = ops::softmax_cross_entropy<float>(rows_of(logits.data(), batch, classes), 1,
                                                 ops::labels_of(labels.data()), {}, {}, dlogits.data());
        second.backward(a.data(), dlogits.data(), da.data());
        ops::relu_backward(rows_of(h.data(), batch, hidden), rows_of(da.data(), batch, hidden), 0.0f, dh.data());
        first.backward(x.data(), dh.data(), nullptr);
        first.update(0.5f);
        second.update(0.5f);
        if (step % 250 == 0) std::printf("step %4d  loss %.4f\n", step, loss);
    }
    const auto right = ops::count_correct(rows_of(logits.data(), batch, classes), ops::labels_of(labels.data()));
    std::printf("relu_layers %s on %s: loss %.4f, %d of 4 right\n", RELU_LAYERS_VERSION,
                relu_layers::current_target().name, loss, int(right));
    return right == batch && loss < 0.01 ? 0 : 1;
}
