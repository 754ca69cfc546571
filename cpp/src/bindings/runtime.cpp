// Target, threads and build information; relu_layers.runtime checks the arguments and documents them.
#include <string>
#include <vector>

#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "relu_layers/dispatch.h"
#include "relu_layers/parallel.h"
#include "relu_layers/version.h"

namespace relu_layers::bindings {
namespace {

std::string target() { return current_target().name; }

std::vector<std::string> names(bool supported_only) {
    std::vector<std::string> found;
    for (index_t i = 0; i < target_count(); ++i)
        if (!supported_only || targets()[i].supported()) found.emplace_back(targets()[i].name);
    return found;
}

pybind11::object refused_target() {
    current_target();  // the environment is read when the target is first asked for
    const char* name = rejected_target();
    return name == nullptr ? pybind11::object(pybind11::none()) : pybind11::str(name);
}

}  // namespace

void bind_runtime(pybind11::module_& m) {
    using pybind11::arg;
    m.attr("version") = RELU_LAYERS_VERSION;
    m.attr("compiler") = RELU_LAYERS_COMPILER;
    m.def("target", &target);
    m.def("targets", [] { return names(true); });
    m.def("compiled_targets", [] { return names(false); });
    m.def("refused_target", &refused_target);
    m.def("use_target", [](const std::string& name) { return use_target(name.c_str()); }, arg("name"));
    m.def("num_threads", &num_threads);
    m.def("default_num_threads", &default_num_threads);
    m.def("set_num_threads", &set_num_threads, arg("n"));
    m.def("set_parallel_threshold", &set_parallel_threshold, arg("nanoseconds"));
}

}  // namespace relu_layers::bindings
