#include "bindings/capture.h"

#include "bindings/bindings.h"
#include "bindings/guard.h"

namespace relu_layers::bindings {
namespace {

using py::detail::npy_api;

index_t bytes_of(PyObject* array) {
    const auto* proxy = py::detail::array_proxy(array);
    index_t bytes = py::reinterpret_borrow<py::dtype>(proxy->descr).itemsize();
    for (int i = 0; i < proxy->nd; ++i) bytes *= proxy->dimensions[i];
    return bytes;
}

}  // namespace

Expected::Expected(py::handle array) : present(!array.is_none()) {
    if (!present) return;
    const auto* proxy = py::detail::array_proxy(array.ptr());
    type = py::detail::array_descriptor_proxy(proxy->descr)->type_num;
    ndim = proxy->nd;
    for (int i = 0; i < ndim; ++i) dims[i] = proxy->dimensions[i];
    row_bytes = ndim > 0 && dims[0] > 0 ? bytes_of(array.ptr()) / dims[0] : 0;
}

bool Expected::is_like(PyObject* value, bool any_rows) const {
    if (reinterpret_cast<PyObject*>(Py_TYPE(value)) != reinterpret_cast<PyObject*>(npy_api::get().PyArray_Type_))
        return false;
    const auto* proxy = py::detail::array_proxy(value);
    const auto* descr = py::detail::array_descriptor_proxy(proxy->descr);
    constexpr int needed = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;
    if (descr->type_num != type || !in_native_order(descr->byteorder)) return false;
    if ((proxy->flags & needed) != needed || proxy->nd != ndim) return false;
    for (int i = any_rows ? 1 : 0; i < ndim; ++i)
        if (proxy->dimensions[i] != dims[i]) return false;
    return true;
}

Capture::Capture(py::handle input, py::handle target, py::handle sample_weight, py::handle output) {
    const auto bind = [&](Slot slot, py::handle array) {
        if (!array.is_none() && !npy_api::get().PyArray_Check_(array.ptr()))
            throw py::type_error("Capture: expected arrays or None");
        recorder_.bind(slot, array);
        expected_[static_cast<int>(slot)] = Expected(array);
    };
    bind(Slot::input, input);
    bind(Slot::target, target);
    bind(Slot::sample_weight, sample_weight);
    bind(Slot::output, output);
}

void Capture::start(int phase) {
    if (phase < 0 || phase >= static_cast<int>(replay::Phase::count)) throw py::value_error("Capture: no such phase");
    if (!recorder_.start(static_cast<replay::Phase>(phase))) recorder_.fail("another thread is recording");
}

py::object Capture::failure() const {
    return recorder_.failure().empty() ? py::object(py::none()) : py::str(recorder_.failure());
}

py::object builtin(PyMethodDef& definition, py::handle owner, void* pointer) {
    const auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(
        pointer, nullptr, [](PyObject* self) { Py_XDECREF(static_cast<PyObject*>(PyCapsule_GetContext(self))); }));
    if (!capsule) throw py::error_already_set();
    owner.inc_ref();
    PyCapsule_SetContext(capsule.ptr(), owner.ptr());
    PyObject* function = PyCFunction_NewEx(&definition, capsule.ptr(), nullptr);
    if (function == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(function);
}

bool overlap(PyObject* a, PyObject* b) {
    const char* left = py::detail::array_proxy(a)->data;
    const char* right = py::detail::array_proxy(b)->data;
    return left < right + bytes_of(b) && right < left + bytes_of(a);
}

void bind_capture(py::module_& m) {
    using py::arg;
    m.def("configuration_changed", [] { ++configuration; });
    py::class_<UsageGuard>(m, "UsageGuard")
        .def(py::init<>())
        .def("begin_inference", &UsageGuard::begin_inference)
        .def("end_inference", &UsageGuard::end_inference)
        .def("__enter__", &UsageGuard::begin_training)
        .def("__exit__", [](UsageGuard& guard, const py::args&) { guard.end_training(); });
    py::class_<Capture>(m, "Capture")
        .def(py::init<py::handle, py::handle, py::handle, py::handle>(), arg("input"), arg("target"),
             arg("sample_weight"), arg("output"))
        .def("start", &Capture::start, arg("phase"))
        .def("stop", &Capture::stop)
        .def_property_readonly("failure", &Capture::failure);
}

}  // namespace relu_layers::bindings
