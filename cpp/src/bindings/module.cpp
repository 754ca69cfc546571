// The extension relu_layers._core: a table of contents.
#include "bindings/bindings.h"
#include "bindings/forks.h"
#include "bindings/numpy.h"

namespace relu_layers::bindings {
namespace {

void fill(py::handle m) {
    find_numpy();
    watch_forks();
    bind_elementwise(m);
    bind_matmul(m);
    bind_softmax(m);
    bind_class_losses(m);
    bind_elementwise_losses(m);
    bind_updates(m);
    bind_measures(m);
    bind_runtime(m);
    bind_support(m);
    bind_watched(m);
    bind_capture(m);
    bind_training_replay(m);
    bind_inference_replay(m);
    bind_loop_replay(m);
}

}  // namespace
}  // namespace relu_layers::bindings

PyMODINIT_FUNC PyInit__core();
PyMODINIT_FUNC PyInit__core() {
    using namespace relu_layers::bindings;
    static PyModuleDef definition = {
        PyModuleDef_HEAD_INIT, "_core", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
    return translated([] {
        py::object m = owned(PyModule_Create(&definition));
        fill(m);
        return m.release().ptr();
    });
}
