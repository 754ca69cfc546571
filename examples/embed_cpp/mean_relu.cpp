// A Python module on kernels of relu_layers: the mean of relu(x @ weight + bias) over the batch, without the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "relu_layers/relu_layers.h"

namespace py = pybind11;
namespace ops = relu_layers::ops;
using Array = py::array_t<float>;

namespace {

// What NumPy knows about a matrix: transposed and sliced arrays need no copy. Misaligned ones cannot be read in place.
relu_layers::Matrix<const float> matrix(const Array& array, const char* name) {
    constexpr py::ssize_t item = sizeof(float);
    if (array.ndim() != 2 || array.strides(0) % item != 0 || array.strides(1) % item != 0 ||
        reinterpret_cast<std::size_t>(array.data()) % alignof(float) != 0)
        throw py::value_error(std::string(name) + " must be an aligned matrix of float32");
    return {array.data(), array.shape(0), array.shape(1), array.strides(0) / item, array.strides(1) / item};
}

Array mean_relu(const Array& x, const Array& weight, const Array& bias) {
    const auto a = matrix(x, "x"), b = matrix(weight, "weight");
    if (a.cols != b.rows || bias.ndim() != 1 || bias.shape(0) != b.cols || bias.strides(0) != sizeof(float))
        throw py::value_error("shapes must be (batch, in), (in, out) and a contiguous (out,)");
    if (a.rows == 0) throw py::value_error("x has no rows, of which there is no mean");
    Array mean(b.cols);
    const float* bias_data = bias.data();
    float* result = mean.mutable_data();
    const py::gil_scoped_release release;
    std::vector<float> y(size_t(a.rows * b.cols));
    const std::vector<float> share(size_t(a.rows), 1.0f / float(a.rows));
    ops::dense_forward(a, b, bias_data, {true, 0.0f}, y.data());
    ops::matmul(relu_layers::matrix_of(share.data(), 1, a.rows), relu_layers::matrix_of(y.data(), a.rows, b.cols),
                false, {result, 1, b.cols, b.cols});
    return mean;
}

}  // namespace

PYBIND11_MODULE(mean_relu, m) {
    m.def("mean_relu", &mean_relu, py::arg("x").noconvert(), py::arg("weight").noconvert(),
          py::arg("bias").noconvert());
    m.def("set_num_threads", &relu_layers::set_num_threads);
    m.def("get_num_threads", &relu_layers::num_threads);
}
