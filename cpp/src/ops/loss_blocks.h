// How a loss is summed: positions in fixed blocks, a double for each block, the blocks added in order. So the sum
// depends neither on the threads nor on the layout of the inputs.
#pragma once

#include <algorithm>
#include <cstddef>

#include "relu_layers/ops.h"
#include "relu_layers/parallel.h"

namespace relu_layers::ops {

// Positions, or elements, whose losses are summed in one go.
constexpr index_t loss_block = 256;

// The sum of run(first, count) over the blocks, in order, on the calling thread.
template <class Run>
double sum_in_blocks(index_t positions, Run&& run) {
    double sum = 0.0;
    for (index_t first = 0; first < positions; first += loss_block)
        sum += run(first, std::min(loss_block, positions - first));
    return sum;
}

// The same over threads, with the same result. `nanoseconds` is the price of it all. Asks for memory before the first
// block.
template <class Run>
double sum_of_blocks(index_t positions, double nanoseconds, Run&& run) {
    if (positions <= loss_block) return sum_in_blocks(positions, run);
    const index_t blocks = (positions + loss_block - 1) / loss_block;
    auto* partial = static_cast<double*>(scratch(Scratch::partial, sizeof(double) * static_cast<std::size_t>(blocks)));
    parallel_for(blocks, 1, nanoseconds, [&](index_t begin, index_t end) {
        for (index_t b = begin; b < end; ++b)
            partial[b] = run(b * loss_block, std::min(loss_block, positions - b * loss_block));
    });
    double sum = 0.0;
    for (index_t b = 0; b < blocks; ++b) sum += partial[b];
    return sum;
}

// What the sum is divided by. `counted` positions are not ignored; `weight_sum` is the sum of their weights, used where
// any weights are given. A count is at least 1.
template <class T>
double normalizer(const LossWeights<T>& weights, index_t positions, index_t counted, bool weighted, double weight_sum) {
    switch (weights.normalization) {
        case Normalization::none:
            return 1.0;
        case Normalization::full:
            return double(std::max<index_t>(positions, 1));
        case Normalization::batch_size:
            return double(std::max<index_t>(weights.batch_size, 1));
        case Normalization::valid:
            break;
    }
    return weighted ? weight_sum : double(std::max<index_t>(counted, 1));
}

template <class T>
T sample_weight_at(const LossWeights<T>& weights, index_t position) {
    return weights.sample_weight == nullptr ? T(1) : weights.sample_weight[position / weights.positions_per_sample];
}

template <class T>
double sum_of_sample_weights(const LossWeights<T>& weights, index_t positions) {
    return sum_in_blocks(positions, [&](index_t first, index_t count) {
        double sum = 0.0;
        for (index_t i = 0; i < count; ++i) sum += double(sample_weight_at(weights, first + i));
        return sum;
    });
}

}  // namespace relu_layers::ops
