#include "bindings/capture.h"

#include <deque>
#include <string>

#include "bindings/bindings.h"
#include "bindings/guard.h"
#include "bindings/object.h"

namespace relu_layers::bindings {

Expected::Expected(py::handle array) : present(!array.is_none()) {
    if (!present) return;
    const auto* proxy = struct_of(array.ptr());
    type = dtype_of(array.ptr())->type_num;
    ndim = proxy->nd;
    for (int i = 0; i < ndim; ++i) dims[i] = proxy->dimensions[i];
    row_bytes = ndim > 0 && dims[0] > 0 ? bytes_of(array.ptr()) / dims[0] : 0;
}

bool Expected::is_like(PyObject* value, bool any_rows) const {
    if (!is_exact_array(value)) return false;
    const auto* proxy = struct_of(value);
    const auto* descr = dtype_of(value);
    constexpr int needed = contiguous_flag | aligned_flag;
    if (descr->type_num != type || !in_native_order(descr->byteorder)) return false;
    if ((proxy->flags & needed) != needed || proxy->nd != ndim) return false;
    for (int i = any_rows ? 1 : 0; i < ndim; ++i)
        if (proxy->dimensions[i] != dims[i]) return false;
    return true;
}

Capture::Capture(py::handle input, py::handle target_, py::handle sample_weight, py::handle output) {
    const auto bind = [&](Slot slot, py::handle array) {
        if (!array.is_none() && !is_array(array.ptr())) throw py::type_error("Capture: expected arrays or None");
        recorder_.bind(slot, array);
        expected_[static_cast<int>(slot)] = Expected(array);
    };
    bind(Slot::input, input);
    const Target target(target_.ptr());
    bind(Slot::target, target.values);
    bind(Slot::columns, target.columns);
    bind(Slot::sample_weight, sample_weight);
    bind(Slot::output, output);
}

void Capture::start(int phase) {
    if (phase < 0 || phase >= static_cast<int>(replay::Phase::count)) throw py::value_error("Capture: no such phase");
    if (!recorder_.start(static_cast<replay::Phase>(phase))) recorder_.fail("another thread is recording");
}

py::object Capture::failure() const {
    const auto& failure = recorder_.failure();
    return failure ? owned(PyUnicode_FromString(failure->c_str())) : py::none();
}

bool overlap(PyObject* a, PyObject* b) {
    const char* left = struct_of(a)->data;
    const char* right = struct_of(b)->data;
    return left < right + bytes_of(b) && right < left + bytes_of(a);
}

namespace {

// Gives a function of the extension its docstring, below the signature that it has.
void document(py::handle function, const char* text) {
    if (!PyCFunction_Check(function.ptr())) throw py::type_error("document: expected a function of the extension");
    static std::deque<std::string> kept;  // as long as the functions
    PyMethodDef* const definition = reinterpret_cast<PyCFunctionObject*>(function.ptr())->m_ml;
    const std::string shown = definition->ml_doc;
    const std::string end = "\n--\n\n";
    kept.push_back(shown.substr(0, shown.find(end)) + end + text);
    definition->ml_doc = kept.back().c_str();
}

}  // namespace

void bind_capture(py::handle m) {
    define<&document>(m, "document(function, text)");
    define_type<UsageGuard>(
        m, "UsageGuard()",
        {method<&UsageGuard::begin_inference>("begin_inference()"),
         method<&UsageGuard::end_inference>("end_inference()"), method<&UsageGuard::begin_step>("begin_step()"),
         method<&UsageGuard::end_step>("end_step()"), method<&UsageGuard::begin_training>("__enter__()"),
         method<&UsageGuard::leave_training>("__exit__(kind, error, trace)"),
         method<&UsageGuard::parameters_changed>("parameters_changed()")},
        {property<&UsageGuard::version>("version")});
    define_type<Capture, py::handle, py::handle, py::handle, py::handle>(
        m, "Capture(input, target, sample_weight, output)",
        {method<&Capture::start>("start(phase)"), method<&Capture::stop>("stop()")},
        {property<&Capture::failure>("failure")});
}

}  // namespace relu_layers::bindings
