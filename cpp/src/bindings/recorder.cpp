#include "bindings/recorder.h"

#include <pybind11/numpy.h>

namespace relu_layers::bindings {

void Recorder::bind(replay::Slot slot, pybind11::handle array) {
    if (array.is_none()) return;
    const auto* proxy = pybind11::detail::array_proxy(array.ptr());
    const auto owner = pybind11::reinterpret_borrow<pybind11::array>(array);
    bound_[static_cast<int>(slot)] = {array.ptr(), proxy->data, proxy->data + owner.nbytes()};
    kept_.push_back(pybind11::reinterpret_borrow<pybind11::object>(array));
}

replay::Slot Recorder::slot_of(PyObject* object, const char* data) {
    for (int i = 1; i < static_cast<int>(replay::Slot::count); ++i)
        if (bound_[i].object != nullptr && data >= bound_[i].begin && data < bound_[i].end)
            return static_cast<replay::Slot>(i);
    kept_.push_back(pybind11::reinterpret_borrow<pybind11::object>(object));
    return replay::Slot::fixed;
}

}  // namespace relu_layers::bindings
