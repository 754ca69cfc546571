// The matrix product behind matmul and the dense layer.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers::ops {

// c = a @ b (+ c when accumulate) (+ bias, one number per column, or null). See blocked.h for the order of operations.
template <class T>
struct Product {
    Matrix<const T> a;
    Matrix<const T> b;
    const T* bias;
    bool accumulate;
    Rows<T> c;
};

// Requests the memory that multiply() needs, which may throw: an op of several products does so before its first write.
template <class T>
void reserve(const Product<T>& product);

template <class T>
void multiply(const Product<T>& product);

// The i-th of `count` products of the same shapes starts a_offsets[i], b_offsets[i], c_offsets[i] elements further on.
template <class T>
void multiply_stack(const Product<T>& product, index_t count, const index_t* a_offsets, const index_t* b_offsets,
                    const index_t* c_offsets);

}  // namespace relu_layers::ops
