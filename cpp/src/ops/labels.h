// Integer labels of any width, read where they are.
#pragma once

#include "relu_layers/ops.h"

namespace relu_layers::ops {

// Copies labels [first, first + count) to `to`.
void copy_labels(const Labels& labels, index_t first, index_t count, std::int64_t* to);

}  // namespace relu_layers::ops
