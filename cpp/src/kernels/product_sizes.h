// What a target says about its products.
#pragma once

#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// Numbers in a vector.
constexpr index_t gemm_lanes = width<RELU_LAYERS_ELEMENT>;
// The most rows of a that one pass of gemm_columns takes.
constexpr index_t gemm_columns_rows = vector_registers == 32 ? 16 : 12;
// Vectors in a row of a panel of gemm_packed, and columns.
constexpr int gemm_packed_vectors = 2;
constexpr index_t gemm_packed_panel = gemm_packed_vectors * gemm_lanes;

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
