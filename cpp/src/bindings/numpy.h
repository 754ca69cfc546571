// What the bindings take from NumPy: the structs behind its arrays, and a few functions of its C interface. Both are
// the same in every NumPy 2.
#pragma once

#include "bindings/python.h"

namespace relu_layers::bindings {

// Type numbers. Every number from 0 on is a type, so no type is a negative one.
constexpr int no_type = -1;
constexpr int bool_type = 0;
constexpr int first_integer_type = 1;  // int8
constexpr int uint8_type = 2;
constexpr int int64_type = sizeof(long) == 8 ? 7 : 9;
constexpr int last_integer_type = 10;  // unsigned long long
constexpr int float32_type = 11;
constexpr int float64_type = 12;
constexpr int longdouble_type = 13;
constexpr int half_type = 23;

constexpr int max_ndim = 64;  // NumPy's own limit

constexpr int contiguous_flag = 0x1;
constexpr int aligned_flag = 0x100;
constexpr int writable_flag = 0x400;

// The struct of an ndarray, and the beginning of that of its dtype.
struct ArrayStruct {
    PyObject_HEAD char* data;
    int nd;
    index_t* dimensions;
    index_t* strides;
    PyObject* base;
    PyObject* descr;
    int flags;
};
struct TypeStruct {
    PyObject_HEAD PyTypeObject* scalar_type;
    char kind;
    char type;
    char byteorder;
    char reserved;
    int type_num;
    std::uint64_t flags;
    index_t item_bytes;
};

// The class numpy.ndarray, from find_numpy() on.
inline PyTypeObject* array_type = nullptr;
void find_numpy();

inline const ArrayStruct* struct_of(PyObject* array) { return reinterpret_cast<const ArrayStruct*>(array); }
inline const TypeStruct* dtype_of(PyObject* array) {
    return reinterpret_cast<const TypeStruct*>(struct_of(array)->descr);
}
inline bool is_exact_array(PyObject* object) { return Py_TYPE(object) == array_type; }
inline bool is_array(PyObject* object) { return PyObject_TypeCheck(object, array_type); }

inline index_t bytes_of(PyObject* array) {
    index_t bytes = dtype_of(array)->item_bytes;
    for (int i = 0; i < struct_of(array)->nd; ++i) bytes *= struct_of(array)->dimensions[i];
    return bytes;
}

// The addresses between which an array's elements lie.
struct Extent {
    const char* begin;
    const char* end;

    bool meets(const Extent& other) const { return begin < other.end && other.begin < end; }
};

// Whether the memory of two arrays, both contiguous, has a byte in common.
inline bool overlap(PyObject* a, PyObject* b) {
    const auto extent = [](PyObject* array) {
        return Extent{struct_of(array)->data, struct_of(array)->data + bytes_of(array)};
    };
    return extent(a).meets(extent(b));
}

// A new C-contiguous array.
py::object new_array(int type, int ndim, const index_t* dims);
// One in the memory of another, from byte `offset` on.
py::object new_view(const py::object& memory, index_t offset, py::object dtype, int ndim, const index_t* dims);
void copy_array(PyObject* to, PyObject* from);

// NumPy marks native order '=' (or, where it was asked for by name, with its own sign) and types without one '|'.
inline bool in_native_order(char order) {
    constexpr char own = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    return order == '=' || order == '|' || order == own;
}

}  // namespace relu_layers::bindings
