// The matrix product behind matmul and the dense layer.
#pragma once

#include "relu_layers/ops.h"

namespace relu_layers::ops {

// A leaky ReLU on the elements of c: its forward pass or, where `output` has data (of c's shape, any strides), the
// backward pass of the ReLU that had this output.
template <class T>
struct FusedRelu {
    bool on = false;
    T negative_slope = T(0);
    Matrix<const T> output = {};
};

// c = a @ b (+ c when accumulate) (+ bias, one number per column, or null), then through `relu`, which excludes
// accumulate. See blocked.h for the order of operations. References, because a copy of a view that was just made waits
// for the stores of its numbers, which takes as long as a small product.
template <class T>
struct Product {
    const Matrix<const T>& a;
    const Matrix<const T>& b;
    const T* bias;
    bool accumulate;
    const Rows<T>& c;
    FusedRelu<T> relu = {};
};

// Requests the memory that multiply() needs, which may throw: an op of several products does so before its first write.
template <class T>
void reserve(const Product<T>& product);

template <class T>
void multiply(const Product<T>& product);

// c = a @ b + bias, through the ReLU, with c contiguous: the bits of multiply(). Throws nothing.
template <class T>
void multiply_packed(const Matrix<const T>& a, const PackedWeight<T>& b, const T* bias, Rectifier<T> relu, T* c);

}  // namespace relu_layers::ops
