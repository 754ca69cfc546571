// The extension relu_layers._core: a table of contents. Arguments are positional here; names, defaults and
// documentation are those of relu_layers.ops.native.
#include "bindings/bindings.h"

#include "bindings/forks.h"
#include "bindings/python.h"

PYBIND11_MODULE(_core, m) {
    using namespace relu_layers::bindings;
    npy_api::get();  // looks NumPy up now rather than in the first call
    watch_forks();
    bind_elementwise(m);
    bind_matmul(m);
    bind_softmax(m);
    bind_losses(m);
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
