// When an op should write past the caches: where its arrays together exceed the last one, so that the output would be
// gone from it before anyone reads it, and fetching its lines only to overwrite them is the waste that is left.
#pragma once

#include "relu_layers/types.h"

namespace relu_layers::ops {

// The size of this machine's last-level cache, or RELU_LAYERS_STREAMING_BYTES.
std::size_t streaming_bytes();

// Whether `arrays` arrays of `size` elements of T exceed it.
template <class T>
bool beyond_caches(index_t arrays, index_t size) {
    return static_cast<std::size_t>(arrays * size) > streaming_bytes() / sizeof(T);
}

}  // namespace relu_layers::ops
