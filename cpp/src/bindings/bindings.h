// What the table of contents in module.cpp lists: each function adds one group of ops to the extension.
#pragma once

#include <pybind11/pytypes.h>

namespace relu_layers::bindings {

void bind_elementwise(pybind11::handle m);
void bind_matmul(pybind11::handle m);
void bind_softmax(pybind11::handle m);
void bind_class_losses(pybind11::handle m);
void bind_elementwise_losses(pybind11::handle m);
void bind_updates(pybind11::handle m);
void bind_measures(pybind11::handle m);
void bind_runtime(pybind11::handle m);
void bind_support(pybind11::handle m);
void bind_watched(pybind11::handle m);
void bind_capture(pybind11::handle m);
void bind_training_replay(pybind11::handle m);
void bind_inference_replay(pybind11::handle m);
void bind_loop_replay(pybind11::handle m);

}  // namespace relu_layers::bindings
