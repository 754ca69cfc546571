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
    memory = {proxy->data, proxy->data + bytes_of(array.ptr())};
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
        expected_[static_cast<int>(slot)] = Expected(array);
        keep(array.ptr());
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
    if (active_ != nullptr && active_ != this && owner_->exists()) return fail("another thread is recording");
    owner_ = Thread::current();
    active_ = this;
    phase_ = static_cast<replay::Phase>(phase);
}

Slot Capture::slot_of(PyObject* object, const char* data) {
    for (int i = 1; i < static_cast<int>(Slot::count); ++i)
        if (data >= expected_[i].memory.begin && data < expected_[i].memory.end) return static_cast<Slot>(i);
    keep(object);
    return Slot::fixed;
}

py::object Capture::failure() const { return failure_ ? owned(PyUnicode_FromString(failure_->c_str())) : py::none(); }

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
