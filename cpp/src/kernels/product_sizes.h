// What a target says about its products.
#pragma once

#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// Numbers in a vector.
constexpr index_t gemm_lanes = width<RELU_LAYERS_ELEMENT>;
// The most rows of a that one pass of gemm_columns takes.
constexpr index_t gemm_columns_rows = vector_registers == 32 ? 16 : 12;

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
