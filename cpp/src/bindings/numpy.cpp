#include "bindings/numpy.h"

namespace relu_layers::bindings {
namespace {

// Places in NumPy's table of functions.
constexpr int ndarray_place = 2;
constexpr int descr_from_type_place = 45;
constexpr int copy_into_place = 50;
constexpr int new_from_descr_place = 94;
constexpr int set_base_object_place = 282;

PyObject* (*descr_from_type)(int);
int (*copy_into)(PyObject*, PyObject*);
PyObject* (*new_from_descr)(PyTypeObject*, PyObject*, int, const index_t*, const index_t*, void*, int, PyObject*);
int (*set_base_object)(PyObject*, PyObject*);

template <class Function>
void find(Function& function, void** table, int place) {
    function = reinterpret_cast<Function>(table[place]);
}

}  // namespace

void find_numpy() {
    const py::object capsule = imported("numpy._core.multiarray", "_ARRAY_API");
    auto** table = static_cast<void**>(PyCapsule_GetPointer(capsule.ptr(), nullptr));
    if (table == nullptr) throw Raised();
    array_type = static_cast<PyTypeObject*>(table[ndarray_place]);
    find(descr_from_type, table, descr_from_type_place);
    find(copy_into, table, copy_into_place);
    find(new_from_descr, table, new_from_descr_place);
    find(set_base_object, table, set_base_object_place);
}

py::object new_array(int type, int ndim, const index_t* dims) {
    return owned(new_from_descr(array_type, descr_from_type(type), ndim, dims, nullptr, nullptr, 0, nullptr));
}

py::object new_view(const py::object& memory, index_t offset, py::object dtype, int ndim, const index_t* dims) {
    char* const begin = struct_of(memory.ptr())->data + offset;
    py::object view =
        owned(new_from_descr(array_type, dtype.release().ptr(), ndim, dims, nullptr, begin, writable_flag, nullptr));
    if (set_base_object(view.ptr(), py::object(memory).release().ptr()) < 0) throw Raised();
    return view;
}

void copy_array(PyObject* to, PyObject* from) {
    if (copy_into(to, from) < 0) throw Raised();
}

}  // namespace relu_layers::bindings
