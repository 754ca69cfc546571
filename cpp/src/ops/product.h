// The matrix product behind matmul and the dense layer.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers::ops {

// c = a @ b (+ c when accumulate) (+ bias, one number per column, or null). See matmul.cpp for the order of operations.
template <class T>
void product(Matrix<const T> a, Matrix<const T> b, const T* bias, bool accumulate, Rows<T> c);

}  // namespace relu_layers::ops
