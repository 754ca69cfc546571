// The shape-level ops: forward and backward of every layer, the losses and the updates, without Python. Declared for
// T = float and double.
//
// Arguments. Nothing is checked here: the caller answers for pointers, for sizes that agree, for labels in range
// (find_bad_label) and for the overlaps named below. Inputs are views (Rows, Matrix: see types.h, and views.h to make
// them), never copied and never written. Outputs are plain pointers to contiguous row-major memory that the caller
// owns; they are written in full and never read, unless a comment says "in place". Sizes are ptrdiff_t and may be 0.
// Overlap. An output may be an input itself (same address, contiguous) in relu_forward with a slope >= 0, elu, sigmoid,
// tanh and softmax forwards; in every elementwise and softmax backward for dy; in the losses for the logits. No other
// overlap is allowed.
// Errors. Ops that pack or sum keep scratch memory per thread and can throw std::bad_alloc, before their first write;
// nothing else is thrown.
// Threads. Every op may be called from any number of threads at once and splits large work over the pool of parallel.h.
// Results do not depend on the number of threads, nor, apart from the target "baseline", on the target.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers::ops {

// ---- Elementwise. All inputs of one call have the same rows and cols; y and dx hold rows * cols numbers.

// y = x where x > 0, else negative_slope * x; with slope 0: +0 where x < 0, else x, so that NaN stays NaN.
template <class T>
void relu_forward(const Rows<const T>& x, T negative_slope, T* y);
// dx = negative_slope * dy where x <= 0, else dy: a select, so an infinite dy is no NaN. With a slope >= 0, x may be y.
template <class T>
void relu_backward(const Rows<const T>& x, const Rows<const T>& dy, T negative_slope, T* dx);
// y = value where x <= threshold, else x; dx = 0 there, else dy.
template <class T>
void threshold_forward(const Rows<const T>& x, T threshold, T value, T* y);
template <class T>
void threshold_backward(const Rows<const T>& x, const Rows<const T>& dy, T threshold, T* dx);
// y = x where x > 0, else alpha * (exp(x) - 1), alpha >= 0; the backward pass works from y: dx = dy where y > 0, else
// dy * (y + alpha).
template <class T>
void elu_forward(const Rows<const T>& x, T alpha, T* y);
template <class T>
void elu_backward(const Rows<const T>& y, const Rows<const T>& dy, T alpha, T* dx);
// y = 1 / (1 + exp(-x)); dx = dy * y * (1 - y).
template <class T>
void sigmoid_forward(const Rows<const T>& x, T* y);
template <class T>
void sigmoid_backward(const Rows<const T>& y, const Rows<const T>& dy, T* dx);
// y = x * s with s = 1 / (1 + exp(-x)), -0 at -inf; dx = dy * s * (1 + x * (1 - s)), its limits at infinity.
template <class T>
void silu_forward(const Rows<const T>& x, T* y);
template <class T>
void silu_backward(const Rows<const T>& x, const Rows<const T>& dy, T* dx);
// y = x * P(x), P the normal distribution, -0 at -inf; dx = dy * (P(x) + x * p(x)), p its density.
template <class T>
void gelu_forward(const Rows<const T>& x, T* y);
template <class T>
void gelu_backward(const Rows<const T>& x, const Rows<const T>& dy, T* dx);
// The same with P(x) approximated by (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2.
template <class T>
void gelu_tanh_forward(const Rows<const T>& x, T* y);
template <class T>
void gelu_tanh_backward(const Rows<const T>& x, const Rows<const T>& dy, T* dx);
// y = x between minimum and maximum, else the nearer of them, minimum < maximum; the backward pass works from y:
// dx = dy where minimum < y < maximum, else 0.
template <class T>
void clip_forward(const Rows<const T>& x, T minimum, T maximum, T* y);
template <class T>
void clip_backward(const Rows<const T>& y, const Rows<const T>& dy, T minimum, T maximum, T* dx);
// y = s * x where x > 0, else s * a * (exp(x) - 1), s = 1.0507... and a = 1.6732...; the backward pass works from y.
template <class T>
void selu_forward(const Rows<const T>& x, T* y);
template <class T>
void selu_backward(const Rows<const T>& y, const Rows<const T>& dy, T* dx);
// y = log(1 + exp(x)); the backward pass works from y: dx = dy * (1 - exp(-y)).
template <class T>
void softplus_forward(const Rows<const T>& x, T* y);
template <class T>
void softplus_backward(const Rows<const T>& y, const Rows<const T>& dy, T* dx);
// y = tanh(x); dx = dy * (1 - y) * (1 + y).
template <class T>
void tanh_forward(const Rows<const T>& x, T* y);
template <class T>
void tanh_backward(const Rows<const T>& y, const Rows<const T>& dy, T* dx);
// relu_forward with a slope for each column: x is (rows, features); slope has `features` entries, or one that all share
// (slope_count 1).
template <class T>
void prelu_forward(const Rows<const T>& x, const T* slope, index_t slope_count, T* y);
// dx may be null. dslope, of slope_count entries, sums x * dy where x <= 0.
template <class T>
void prelu_backward(const Rows<const T>& x, const T* slope, index_t slope_count, const Rows<const T>& dy, T* dx,
                    T* dslope);
// Element i (row-major) is kept where word i of Philox4x32-10(key, counter) >= floor(rate * 2^32), scaled by
// 1/(1-rate). The backward pass is the same function of dy.
template <class T>
void dropout(const Rows<const T>& x, double rate, std::uint64_t key, std::uint64_t counter, T* y);

// ---- Products. a.cols == b.rows; any strides, so that a transpose costs no copy.

// c (a.rows, b.cols) = a @ b, or c + a @ b in place when accumulate.
template <class T>
void matmul(const Matrix<const T>& a, const Matrix<const T>& b, bool accumulate, const Rows<T>& c);
// `count` products of the same shapes; the i-th starts a_offsets[i], b_offsets[i], c_offsets[i] elements into a, b, c.
template <class T>
void matmul_stack(index_t count, const Matrix<const T>& a, const index_t* a_offsets, const Matrix<const T>& b,
                  const index_t* b_offsets, bool accumulate, const Rows<T>& c, const index_t* c_offsets);
// y (batch, out) = x (batch, in) @ weight (in, out) + bias (out), through the ReLU where it is on; bias may be null.
template <class T>
void dense_forward(const Matrix<const T>& x, const Matrix<const T>& weight, const T* bias, Rectifier<T> relu, T* y);
// A weight that pack_weight() copied into panels, in an order that dense_forward reads without a copy in each call. The
// panels serve the target that was in use then; on another, and where they do not pay, `weight` itself is read.
template <class T>
struct PackedWeight {
    Matrix<const T> weight;
    const T* panels;
    index_t panel;
};
// Elements of the panels of a weight (in_features, out_features), which are the caller's memory, best on a cache line.
template <class T>
index_t packed_size(index_t in_features, index_t out_features);
template <class T>
PackedWeight<T> pack_weight(const Matrix<const T>& weight, T* panels);
// The bits of dense_forward with the weight itself.
template <class T>
void dense_forward(const Matrix<const T>& x, const PackedWeight<T>& weight, const T* bias, Rectifier<T> relu, T* y);
// dx (batch, in) = dy @ weight^T; dweight (in, out) = x^T @ dy; dbias (out) = column sums of dy. dx and dbias may be
// null. Where the ReLU (slope >= 0) is on, x is its output, and dx is the gradient of its input. With `accumulate`
// dweight and dbias are added to what is there.
template <class T>
void dense_backward(const Matrix<const T>& x, const Matrix<const T>& weight, const Matrix<const T>& dy,
                    Rectifier<T> relu, T* dx, T* dweight, T* dbias, bool accumulate = false);

// ---- Softmax. One row of x holds classes * inner numbers, the classes `inner` apart: 1 where they are the last axis.

// y = exp(x) / sum(exp(x)); a row with NaN or +inf, or of -inf only, is NaN. dx = y * (dy - sum(y * dy)).
template <class T>
void softmax_forward(const Rows<const T>& x, index_t inner, T* y);
template <class T>
void softmax_backward(const Rows<const T>& y, const Rows<const T>& dy, index_t inner, T* dx);
// y = x - log(sum(exp(x))); dx = dy - exp(y) * sum(dy).
template <class T>
void log_softmax_forward(const Rows<const T>& x, index_t inner, T* y);
template <class T>
void log_softmax_backward(const Rows<const T>& y, const Rows<const T>& dy, index_t inner, T* dx);

// ---- Losses. Each returns the loss and writes its gradient.

// Integer labels of any width, contiguous, one per position (outer, inner).
struct Labels {
    const void* data;
    int item_bytes;  // 1, 2, 4 or 8
    bool is_signed;

    std::int64_t operator[](index_t i) const;
};

// The labels in an array of integers.
template <class Integer>
Labels labels_of(const Integer* data) {
    return {data, static_cast<int>(sizeof(Integer)), static_cast<Integer>(-1) < static_cast<Integer>(0)};
}

template <class T>
struct LossWeights {
    const T* sample_weight = nullptr;  // (batch) or null
    index_t positions_per_sample = 1;  // position p belongs to sample p / positions_per_sample
    Normalization normalization = Normalization::valid;
    index_t batch_size = 1;  // the divisor of Normalization::batch_size
    bool has_ignore = false;
    std::int64_t ignore_label = 0;  // integer labels
    double ignore_value = 0;        // targets of the sigmoid cross entropy
};

template <class T>
struct ClassOptions {
    const T* class_weight = nullptr;  // (classes) or null
    T label_smoothing = T(0);         // in [0, 1]
};

// The first label outside [0, classes) that is not ignored: its index, or -1.
index_t find_bad_label(Labels labels, index_t positions, index_t classes, bool has_ignore, std::int64_t ignore_label);

// Of softmax(logits): -log(softmax)[label], from log-sum-exp and never clamped. dlogits has the shape of logits.
template <class T>
double softmax_cross_entropy(const Rows<const T>& logits, index_t inner, Labels labels, ClassOptions<T> options,
                             const LossWeights<T>& weights, T* dlogits);
// The same with labels as probabilities, of the shape of logits.
template <class T>
double softmax_cross_entropy(const Rows<const T>& logits, index_t inner, const Rows<const T>& probabilities,
                             ClassOptions<T> options, const LossWeights<T>& weights, T* dlogits);
// Targets in [0, 1], one for each logit.
template <class T>
double sigmoid_cross_entropy(const Rows<const T>& logits, const Rows<const T>& targets, const LossWeights<T>& weights,
                             T* dlogits);
// scale * sum(weight * (prediction - target)^2) / divisor.
template <class T>
double squared_error(const Rows<const T>& prediction, const Rows<const T>& target, T scale,
                     const LossWeights<T>& weights, T* dprediction);
// The same of one element of each row i alone: prediction[i, columns[i]] against target[i], the gradient 0 elsewhere.
template <class T>
double squared_error(const Rows<const T>& prediction, Labels columns, const T* target, T scale,
                     const LossWeights<T>& weights, T* dprediction);
// sum(weight * l) / divisor with l = d^2 / 2 where |d| <= delta, else delta * (|d| - delta / 2); d = prediction - target.
template <class T>
double huber(const Rows<const T>& prediction, const Rows<const T>& target, T delta, const LossWeights<T>& weights,
             T* dprediction);
template <class T>
double huber(const Rows<const T>& prediction, Labels columns, const T* target, T delta, const LossWeights<T>& weights,
             T* dprediction);

// ---- Updates, in place on contiguous arrays of n entries: param and the optimizer's memory, which starts as zeros.
// The gradient is first what GradientRule makes of it.

// v = momentum * v + learning_rate * g; w -= v, or w -= (1 + momentum) * v_new - momentum * v_old when nesterov.
template <class T>
void sgd_update(index_t n, T* param, const T* grad, T* velocity, GradientRule<T> rule, T learning_rate, T momentum,
                bool nesterov);
template <class T>
void adagrad_update(index_t n, T* param, const T* grad, T* square_sum, GradientRule<T> rule, T learning_rate,
                    T epsilon);
template <class T>
void rmsprop_update(index_t n, T* param, const T* grad, T* square_mean, GradientRule<T> rule, T learning_rate,
                    double rho, T epsilon);
template <class T>
void adadelta_update(index_t n, T* param, const T* grad, T* square_mean, T* update_mean, GradientRule<T> rule,
                     T learning_rate, double rho, T epsilon);
template <class T>
void adam_update(index_t n, T* param, const T* grad, T* mean, T* square_mean, GradientRule<T> rule, AdamRule<T> adam);

// ---- Helpers of training.

template <class T>
double sum_of_squares(const Rows<const T>& x);
// total += grad.
template <class T>
void accumulate(index_t n, T* total, const T* grad);
// grad += c * param with c = strength / divisor, 0 where the divisor is 0; returns c / 2 times the sum of param^2.
template <class T>
double l2_penalty(index_t n, const T* param, T* grad, double strength, double divisor);
// active[j] = 1 where any x[i][j] > 0; returns how many entries are still 0.
template <class T>
index_t mark_active(const Rows<const T>& x, std::uint8_t* active);
// Whether none of n numbers is NaN or infinite.
template <class T>
bool all_finite(index_t n, const T* x);
// Rows whose first largest logit is that of the label; NaN counts as the largest, as in np.argmax.
template <class T>
index_t count_correct(const Rows<const T>& logits, Labels labels);
// Elements with (logit > 0) == (target > 1/2); NaN among the logits is wrong.
template <class T>
index_t count_agreeing(const Rows<const T>& logits, const Rows<const T>& targets);

}  // namespace relu_layers::ops
