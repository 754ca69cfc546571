// What the Python side is built on beside the ops: arrays that begin on a cache line.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/fastcall.h"

namespace relu_layers::bindings {
namespace {

constexpr std::uintptr_t cache_line = 64;

// A new C-contiguous array whose first element lies on a cache line: a view of a longer one.
py::object empty(py::handle lengths, py::handle type) {
    const auto shape = lengths.cast<std::vector<py::ssize_t>>();
    const py::dtype dtype = py::dtype::from_args(py::reinterpret_borrow<py::object>(type));
    py::ssize_t bytes = dtype.itemsize();
    for (const py::ssize_t length : shape) bytes *= length;
    const py::array_t<std::uint8_t> memory(bytes + static_cast<py::ssize_t>(cache_line));
    const auto* begin = memory.data();
    const auto past = reinterpret_cast<std::uintptr_t>(begin) % cache_line;
    return py::array(dtype, shape, begin + (past == 0 ? 0 : cache_line - past), memory);
}

}  // namespace

void bind_support(py::module_& m) { define<&empty>(m, "empty(shape, dtype)"); }

}  // namespace relu_layers::bindings
