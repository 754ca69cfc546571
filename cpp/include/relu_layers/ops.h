// The shape-level ops: what Python calls, without Python. Arguments are already validated (shapes agree, labels are in
// range, outputs are C-contiguous and overlap nothing they must not). Each op writes its outputs in full and splits
// over threads by itself. Declared for T = float and double.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers::ops {

// ---- elementwise; y, dx contiguous; all inputs of one call have the same rows and cols
// --------------------------------
template <class T>
void relu_forward(Rows<const T> x, T negative_slope, T* y);
template <class T>
void relu_backward(Rows<const T> x, Rows<const T> dy, T negative_slope, T* dx);
template <class T>
void threshold_forward(Rows<const T> x, T threshold, T value, T* y);
template <class T>
void threshold_backward(Rows<const T> x, Rows<const T> dy, T threshold, T* dx);
template <class T>
void elu_forward(Rows<const T> x, T alpha, T* y);
template <class T>
void elu_backward(Rows<const T> y, Rows<const T> dy, T alpha, T* dx);
template <class T>
void sigmoid_forward(Rows<const T> x, T* y);
template <class T>
void sigmoid_backward(Rows<const T> y, Rows<const T> dy, T* dx);
template <class T>
void tanh_forward(Rows<const T> x, T* y);
template <class T>
void tanh_backward(Rows<const T> y, Rows<const T> dy, T* dx);
// x is (rows, features); slope has `features` entries, or one that all share (slope_count 1).
template <class T>
void prelu_forward(Rows<const T> x, const T* slope, index_t slope_count, T* y);
// dx may be null. dslope has slope_count entries.
template <class T>
void prelu_backward(Rows<const T> x, const T* slope, index_t slope_count, Rows<const T> dy, T* dx, T* dslope);
// Element i (row-major) is kept where word i of Philox4x32-10(key, counter) >= floor(rate * 2^32), scaled by
// 1/(1-rate). The backward pass is the same function of dy.
template <class T>
void dropout(Rows<const T> x, double rate, std::uint64_t key, std::uint64_t counter, T* y);

// ---- matmul
// ----------------------------------------------------------------------------------------------------------- c
// (a.rows, b.cols), rows contiguous, = a @ b (+ c when accumulate).
template <class T>
void matmul(Matrix<const T> a, Matrix<const T> b, bool accumulate, Rows<T> c);
// `count` products of the same shapes; the i-th starts a_offsets[i], b_offsets[i], c_offsets[i] elements into a, b, c.
template <class T>
void matmul_stack(index_t count, Matrix<const T> a, const index_t* a_offsets, Matrix<const T> b,
                  const index_t* b_offsets, bool accumulate, Rows<T> c, const index_t* c_offsets);
// y (batch, out) = x (batch, in) @ weight (in, out) + bias (out), through the ReLU where it is on; bias may be null.
template <class T>
void dense_forward(Matrix<const T> x, Matrix<const T> weight, const T* bias, Rectifier<T> relu, T* y);
// dx (batch, in) = dy @ weight^T; dweight (in, out) = x^T @ dy; dbias (out) = column sums of dy. dx and dbias may be
// null. Where the ReLU (slope >= 0) is on, x is its output, and dx is the gradient of its input.
template <class T>
void dense_backward(Matrix<const T> x, Matrix<const T> weight, Matrix<const T> dy, Rectifier<T> relu, T* dx, T* dweight,
                    T* dbias);

// ---- softmax; one row of x holds classes * inner numbers, the classes `inner` apart
// ------------------------------------
template <class T>
void softmax_forward(Rows<const T> x, index_t inner, T* y);
template <class T>
void softmax_backward(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx);
template <class T>
void log_softmax_forward(Rows<const T> x, index_t inner, T* y);
template <class T>
void log_softmax_backward(Rows<const T> y, Rows<const T> dy, index_t inner, T* dx);

// ---- losses
// ----------------------------------------------------------------------------------------------------------- Integer
// labels of any width, contiguous, one per position (outer, inner).
struct Labels {
    const void* data;
    int item_bytes;  // 1, 2, 4 or 8
    bool is_signed;

    std::int64_t operator[](index_t i) const;
};

template <class T>
struct LossWeights {
    const T* sample_weight;        // (batch) or null
    index_t positions_per_sample;  // positions of one sample; position p belongs to sample p / positions_per_sample
    Normalization normalization;
    index_t batch_size;  // the divisor of Normalization::batch_size
    bool has_ignore;
    std::int64_t ignore_label;  // integer labels
    double ignore_value;        // targets of the sigmoid cross entropy
};

template <class T>
struct ClassOptions {
    const T* class_weight;  // (classes) or null
    T label_smoothing;
};

// The first label outside [0, classes) that is not ignored: its index, or -1.
index_t find_bad_label(Labels labels, index_t positions, index_t classes, bool has_ignore, std::int64_t ignore_label);

// dlogits: contiguous, of the shape of logits, may be logits.data itself where contiguous. Returns the loss.
template <class T>
double softmax_cross_entropy(Rows<const T> logits, index_t inner, Labels labels, ClassOptions<T> options,
                             LossWeights<T> weights, T* dlogits);
// Labels as probabilities, of the shape of logits.
template <class T>
double softmax_cross_entropy(Rows<const T> logits, index_t inner, Rows<const T> probabilities, ClassOptions<T> options,
                             LossWeights<T> weights, T* dlogits);
template <class T>
double sigmoid_cross_entropy(Rows<const T> logits, Rows<const T> targets, LossWeights<T> weights, T* dlogits);
template <class T>
double squared_error(Rows<const T> prediction, Rows<const T> target, T scale, LossWeights<T> weights, T* dprediction);

// ---- updates, in place on 1-D contiguous arrays of n entries
// ------------------------------------------------------------
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

// ---- helpers of training
// ------------------------------------------------------------------------------------------------
template <class T>
double sum_of_squares(Rows<const T> x);
template <class T>
void accumulate(index_t n, T* total, const T* grad);
// grad += c * param with c = strength / divisor, 0 where the divisor is 0; returns c / 2 times the sum of param^2.
template <class T>
double l2_penalty(index_t n, const T* param, T* grad, double strength, double divisor);
// active[j] = 1 where any x[i][j] > 0; returns how many entries are still 0.
template <class T>
index_t mark_active(Rows<const T> x, std::uint8_t* active);
// Rows whose first largest logit is that of the label; NaN counts as the largest, as in np.argmax.
template <class T>
index_t count_correct(Rows<const T> logits, Labels labels);
// Elements with (logit > 0) == (target > 1/2); NaN among the logits is wrong.
template <class T>
index_t count_agreeing(Rows<const T> logits, Rows<const T> targets);

}  // namespace relu_layers::ops
