// Clipped ReLU (Krizhevsky 2010, with 0 and 6; PyTorch's ReLU6 and Hardtanh, ONNX's Clip), minimum < maximum:
//   forward   y = minimum where x < minimum, maximum where x > maximum, x elsewhere
//   backward  dx = 0 where y <= minimum or y >= maximum, dy elsewhere: from the output, which tells where x was
// y may be x, dx may be dy. At both corners the derivative is 0. NaN passes through, and so does its dy.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void clip_forward(const T* x, T* y, index_t n, bool streaming, T minimum, T maximum) {
    const V low = broadcast(minimum);
    const V high = broadcast(maximum);
    map_vectors(x, y, n, streaming, [=](V v) {
        const V raised = v < low ? low : v;
        return raised > high ? high : raised;
    });
}

void clip_backward(const T* y, const T* dy, T* dx, index_t n, bool streaming, T minimum, T maximum) {
    const V low = broadcast(minimum);
    const V high = broadcast(maximum);
    const V zero = broadcast(T(0));
    map_vectors(y, dy, dx, n, streaming, [=](V v, V g) {
        const V passed = v <= low ? zero : g;
        return v >= high ? zero : passed;
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
