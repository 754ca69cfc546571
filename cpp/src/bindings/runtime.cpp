// Target, threads and build information; relu_layers.runtime checks the arguments and documents them.
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/fastcall.h"
#include "bindings/shared_numbers.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/parallel.h"
#include "relu_layers/version.h"

namespace relu_layers::bindings {
namespace {

const char* target() { return current_target().name; }

py::object names(bool supported_only) {
    const py::object found = owned(PyList_New(0));
    for (index_t i = 0; i < target_count(); ++i)
        if (!supported_only || relu_layers::targets()[i].supported())
            if (PyList_Append(found.ptr(), owned(to_python(relu_layers::targets()[i].name)).ptr()) < 0) throw Raised();
    return found;
}
py::object targets() { return names(true); }
py::object compiled_targets() { return names(false); }

py::object refused_target() {
    current_target();  // the environment is read when the target is first asked for
    const char* name = rejected_target();
    return name == nullptr ? py::none() : owned(to_python(name));
}

py::object granted(const char* root) {
    const double quota = cpu_quota(root);
    return quota > 0 ? owned(PyFloat_FromDouble(quota)) : py::none();
}

// lines: uint32 (processes, 16), on a cache line of memory that all processes share.
void meet(SharedNumbers<MeetingLine> lines, index_t own, double seconds) {
    const index_t count = struct_of(lines.array())->dimensions[0];
    run_released(true, [&] { meet_processes(lines.data(), own, count, seconds); });
}

// shared, array, earlier, total: contiguous and of one type, which the caller has seen to.
template <class T>
void add_as(const Addition& addition, PyObject* array, SharedNumbers<T> shared, SharedNumbers<T> values,
            SharedNumbers<T> earlier, SharedNumbers<T> total, index_t count, bool last) {
    const index_t size = struct_of(array)->dimensions[0];
    run_released(true, [&] {
        add_in_order(addition, shared.data(), size, values.data(), earlier.data(), total.data(), count, last);
    });
}

void add_rows(SharedNumbers<MeetingLine> lines, index_t own, double seconds, py::object shared, index_t block,
              bool in_parts, py::object array, py::object earlier, py::object total, index_t count, bool last) {
    const index_t processes = struct_of(lines.array())->dimensions[0];
    const Addition addition{lines.data(), own, processes, seconds, block, in_parts};
    const auto with = [&](auto element) {
        using Numbers = SharedNumbers<decltype(element)>;
        add_as(addition, array.ptr(), Numbers(shared), Numbers(array), Numbers(earlier), Numbers(total), count, last);
    };
    if (dtype_of(array.ptr())->type_num == float32_type) with(float());
    else with(double());
}

}  // namespace

void bind_runtime(py::handle m) {
    add(m, "version", owned(to_python(RELU_LAYERS_VERSION)));
    add(m, "compiler", owned(to_python(RELU_LAYERS_COMPILER)));
    define<&target>(m, "target()");
    define<&targets>(m, "targets()");
    define<&compiled_targets>(m, "compiled_targets()");
    define<&refused_target>(m, "refused_target()");
    define<&use_target>(m, "use_target(name)");
    define<&num_threads>(m, "num_threads()");
    define<&default_num_threads>(m, "default_num_threads()");
    define<&granted>(m, "cpu_quota(root='/')");
    define<&processes_can_meet>(m, "processes_can_meet()");
    define<&add_rows>(m,
                      "add_in_order(lines, own, seconds, shared, block, in_parts, array, earlier, total, count, last)");
    define<&shared_elements>(m, "shared_elements(processes, block)");
    define<&meet>(m, "meet_processes(lines, own, seconds)");
    define<&set_num_threads>(m, "set_num_threads(n)");
    define<&set_parallel_threshold>(m, "set_parallel_threshold(nanoseconds)");
}

}  // namespace relu_layers::bindings
