#include "bindings/call.h"

#include <chrono>
#include <thread>

namespace relu_layers::bindings {
namespace {

bool same_memory(const Array& a, const Array& b) {
    return a.data == b.data && a.type == b.type && a.contiguous() && b.contiguous() && a.same_shape(b.ndim, b.shape);
}

Extent extent_of(const Array& array) {
    Extent extent{array.data, array.data + array.item_bytes};
    for (int i = 0; i < array.ndim; ++i) {
        const index_t reach = (array.shape[i] - 1) * array.strides[i];
        if (reach < 0) extent.begin += reach;
        else extent.end += reach;
    }
    return extent;
}

}  // namespace

ReleasedGil::~ReleasedGil() {
    try {
        PyEval_RestoreThread(state_);
    } catch (...) {
        // The interpreter is shutting down and wants this daemon thread to unwind, which would run destructors without
        // the GIL and end in std::terminate. The thread ends with the process instead.
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

void Call::look(Array& array, const char* name, PyObject* object) {
    const auto* proxy = struct_of(object);
    const auto* descr = dtype_of(object);
    array.name = name;
    array.object = object;
    array.data = proxy->data;
    array.type = descr->type_num;
    array.flags = proxy->flags;
    array.ndim = proxy->nd;
    array.size = 1;
    for (int i = 0; i < proxy->nd; ++i) {
        array.shape[i] = proxy->dimensions[i];
        array.strides[i] = proxy->strides[i];
        array.size *= proxy->dimensions[i];
    }
    switch (array.type) {
        case float32_type:
            array.item_bytes = sizeof(float);
            break;
        case float64_type:
            array.item_bytes = sizeof(double);
            break;
        default:
            array.item_bytes = descr->item_bytes;
    }
    if (seen_count_ == max_arrays) throw std::logic_error("more arrays in one call than a Call can hold");
    seen_[seen_count_++] = object;
    if (recorder_ != nullptr) array.slot = recorder_->slot_of(object, array.data);
    if (!in_native_order(descr->byteorder))
        type_error("%s is byte-swapped (%R), expected native byte order: pass %s.astype(%s.dtype.newbyteorder('='))",
                   name, proxy->descr, name, name);
}

void Call::read(Array& array, Argument given) {
    if (is_exact_array(given.value)) look(array, given.name, given.value);
    else import(array, given);
}

void Call::read_floats(Array& array, Argument given) {
    read(array, given);
    if (type_ == array.type) return;
    expect_floats(array);
    type_ = array.type;
    type_from_ = given.name;
}

void Call::output(Array& array, Argument given, const Shape& shape) {
    if (!given.is_none()) return update(array, given, shape, type_, Change::overwritten);
    array.name = given.name;
    allocate(array, shape, type_);
}

void Call::update(Array& array, Argument given, const Shape& shape, int type, Change change) {
    array.name = given.name;
    if (!is_exact_array(given.value) && !is_memmap(given.value)) expect_writable(array, given, shape, type, change);
    look(array, given.name, given.value);
    constexpr int needed = contiguous_flag | aligned_flag | writable_flag;
    if (array.type != type || (array.flags & needed) != needed || !array.same_shape(shape.ndim, shape.dims))
        expect_writable(array, given, shape, type, change);
}

void Call::allocate(Array& array, const Shape& shape, int type) {
    if (recorder_ != nullptr) recorder_->fail(std::string(op_) + " makes a new array for " + array.name);
    array.owned = new_array(type, shape.ndim, shape.dims);
    array.fresh = true;
    const int seen = seen_count_;
    look(array, array.name, array.owned.ptr());
    seen_count_ = seen;  // nobody else knows this array, so nobody can resize it
}

void Call::copy(Array& array) {
    protect();
    const py::object original = borrowed(array.object);
    const Shape shape(array);
    allocate(array, shape, array.type);
    copy_array(array.object, original.ptr());
}

void Call::check_overlap(const Array& out, std::initializer_list<const Array*> reads, const Array* alias) {
    if (out.fresh || out.size == 0) return;
    const bool in_place = alias != nullptr && same_memory(out, *alias);
    if (alias != nullptr && !in_place && shares_memory(out, *alias))
        value_error("%s overlaps %s in part: pass %s itself or separate memory", out.name, alias->name, alias->name);
    for (const Array* other : reads) {
        if (!other->present() || !shares_memory(out, *other)) continue;
        if (in_place && same_memory(*other, *alias)) continue;
        value_error("%s shares memory with %s: pass separate memory", out.name, other->name);
    }
}

bool Call::shares_memory(const Array& a, const Array& b) {
    if (a.size == 0 || b.size == 0 || a.fresh || b.fresh) return false;
    if (a.contiguous() && b.contiguous())
        return Extent{a.data, a.data + a.size * a.item_bytes}.meets({b.data, b.data + b.size * b.item_bytes});
    if (!extent_of(a).meets(extent_of(b))) return false;
    protect();
    // Exact, but within bounds: the problem is hard in general, and what it cannot rule out counts as an overlap.
    const py::object shared = imported("numpy", "shares_memory");
    const py::object too_hard = imported("numpy.exceptions", "TooHardError");
    const py::object most_work = owned(PyLong_FromLong(1000000));
    const py::object answer = py::reinterpret_steal<py::object>(
        PyObject_CallFunctionObjArgs(shared.ptr(), a.object, b.object, most_work.ptr(), nullptr));
    if (answer) return answer.ptr() == Py_True;
    if (PyErr_ExceptionMatches(too_hard.ptr()) == 0) throw Raised();
    PyErr_Clear();
    return true;
}

void Call::run_long(const void* state, replay::Code code, Run& run) {
    protect();
    const ReleasedGil released;
    code(state, run);
}

PyObject* invoke_op(const Signature& signature, Code code, PyObject* const* arguments, Py_ssize_t count,
                    PyObject* keywords) noexcept {
    PyObject* values[most_parameters];
    if (!signature.take(arguments, count, keywords, values)) return nullptr;
    return translated([&] {
        Call call(signature.name());
        return code(&call, values);
    });
}

void Call::protect() {
    for (; protected_count_ < seen_count_; ++protected_count_) lock_.add(seen_[protected_count_]);
}

void ResizeLock::add(PyObject* array) {
    if (references_ == nullptr) {
        references_ = PyList_New(0);
        if (references_ == nullptr) throw Raised();
    }
    // A view's memory belongs to the end of its chain of bases. What is no ndarray there (a memoryview, an mmap) guards
    // its buffer itself.
    for (PyObject* object = array; object != nullptr && is_array(object); object = struct_of(object)->base) {
        const py::object reference = owned(PyWeakref_NewRef(object, nullptr));
        if (PyList_Append(references_, reference.ptr()) < 0) throw Raised();
    }
}

}  // namespace relu_layers::bindings
