// Everything for programs that call the ops: #include "relu_layers/relu_layers.h", link relu_layers::relu_layers.
// C++17, no Python. Start with ops.h.
#pragma once

#include "relu_layers/dispatch.h"  // which instruction set runs
#include "relu_layers/ops.h"       // the ops on arrays
#include "relu_layers/parallel.h"  // how many threads an op may use, and parallel_for
#include "relu_layers/types.h"     // Rows, Matrix and the small structs that ops take
#include "relu_layers/version.h"   // RELU_LAYERS_VERSION
#include "relu_layers/views.h"     // how to make a view of an array
