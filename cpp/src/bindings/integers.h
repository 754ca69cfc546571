// Integer labels as the ops take them.
#pragma once

#include "bindings/call.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {

inline bool is_integer(const Array& array) {
    return array.type >= py::detail::npy_api::NPY_BYTE_ && array.type <= py::detail::npy_api::NPY_ULONGLONG_;
}

// NumPy numbers its integers signed, unsigned, signed, ... from NPY_BYTE on.
inline bool is_signed(const Array& array) { return (array.type - py::detail::npy_api::NPY_BYTE_) % 2 == 0; }

// Of a contiguous array.
inline Placed<ops::Labels> integers(const Array& labels) {
    return labels.placed(ops::Labels{labels.data, static_cast<int>(labels.item_bytes), is_signed(labels)});
}

}  // namespace relu_layers::bindings
