#include "bindings/recorder.h"

#include "bindings/numpy.h"

namespace relu_layers::bindings {

void Recorder::bind(replay::Slot slot, py::handle array) {
    if (array.is_none()) return;
    const auto* proxy = struct_of(array.ptr());
    bound_[static_cast<int>(slot)] = {proxy->data, proxy->data + bytes_of(array.ptr())};
    kept_.push_back(borrowed(array));
}

replay::Slot Recorder::slot_of(PyObject* object, const char* data) {
    for (int i = 1; i < static_cast<int>(replay::Slot::count); ++i)
        if (data >= bound_[i].begin && data < bound_[i].end) return static_cast<replay::Slot>(i);
    kept_.push_back(borrowed(object));
    return replay::Slot::fixed;
}

}  // namespace relu_layers::bindings
