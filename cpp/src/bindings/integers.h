// Integer labels as the ops take them.
#pragma once

#include "bindings/call.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {

inline bool is_integer(const Array& array) {
    return array.type >= first_integer_type && array.type <= last_integer_type;
}

// NumPy numbers its integers signed, unsigned, signed, ... from int8 on.
inline bool is_signed(const Array& array) { return (array.type - first_integer_type) % 2 == 0; }

// Of a contiguous array.
inline Placed<ops::Labels> integers(const Array& labels) {
    return labels.placed(ops::Labels{labels.data, static_cast<int>(labels.item_bytes), is_signed(labels)});
}

}  // namespace relu_layers::bindings
