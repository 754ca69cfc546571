#include "ops/product.h"
#include "relu_layers/ops.h"

namespace relu_layers::ops {

template <class T>
void matmul(Matrix<const T> a, Matrix<const T> b, bool accumulate, Rows<T> c) {
    multiply<T>({a, b, nullptr, accumulate, c});
}

template <class T>
void matmul_stack(index_t count, Matrix<const T> a, const index_t* a_offsets, Matrix<const T> b,
                  const index_t* b_offsets, bool accumulate, Rows<T> c, const index_t* c_offsets) {
    multiply_stack<T>({a, b, nullptr, accumulate, c}, count, a_offsets, b_offsets, c_offsets);
}

#define RELU_LAYERS_INSTANTIATE(T)                                                                              \
    template void matmul(Matrix<const T>, Matrix<const T>, bool, Rows<T>);                                      \
    template void matmul_stack(index_t, Matrix<const T>, const index_t*, Matrix<const T>, const index_t*, bool, \
                               Rows<T>, const index_t*);
RELU_LAYERS_INSTANTIATE(float)
RELU_LAYERS_INSTANTIATE(double)
#undef RELU_LAYERS_INSTANTIATE

}  // namespace relu_layers::ops
