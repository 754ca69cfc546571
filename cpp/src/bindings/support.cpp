// What the Python side is built on beside the ops: arrays that begin on a cache line.
#include <cstdint>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/fastcall.h"
#include "bindings/numpy.h"

namespace relu_layers::bindings {
namespace {

constexpr index_t cache_line = 64;

// A new C-contiguous array whose first element lies on a cache line: a view of a longer one.
py::object empty(py::handle lengths, py::handle type) {
    std::vector<index_t> shape;
    for_each(lengths, [&](py::handle length) { shape.push_back(from_python<index_t>(length.ptr())); });
    py::object dtype = owned(PyObject_CallOneArg(imported("numpy", "dtype").ptr(), type.ptr()));
    index_t bytes = reinterpret_cast<const TypeStruct*>(dtype.ptr())->item_bytes;
    for (const index_t length : shape) bytes *= length;
    bytes += cache_line;
    const py::object memory = new_array(uint8_type, 1, &bytes);
    const auto begin = reinterpret_cast<std::uintptr_t>(struct_of(memory.ptr())->data);
    const auto past = static_cast<index_t>(begin % cache_line);
    return new_view(memory, past == 0 ? 0 : cache_line - past, std::move(dtype), static_cast<int>(shape.size()),
                    shape.data());
}

}  // namespace

void bind_support(py::handle m) { define<&empty>(m, "empty(shape, dtype)"); }

}  // namespace relu_layers::bindings
