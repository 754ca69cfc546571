// Dropout with a mask that is a function of (key, counter, element index), so that threads and order do not matter:
//   y = x / (1 - rate) where word >= floor(rate * 2^32), else 0
// word i % 4 of Philox4x32-10 (Salmon et al. 2011) with counter words (i/4 low, i/4 high, counter low, counter high)
// and key words (key low, key high). y may be x. The backward pass is the same function of dy.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// Counter blocks of one vector, and the words that one call of `philox` makes from two vectors of them.
constexpr index_t blocks_per_vector = vector_bytes / 8;
constexpr index_t vectors_at_once = 2;
constexpr index_t words_at_once = 4 * blocks_per_vector * vectors_at_once;

// The words of blocks first_block, first_block + 1, ... in order. A lane of 64 bits holds a word in its lower half; the
// upper half is garbage that neither the products nor the shifts let through.
RELU_LAYERS_INLINE void philox(std::uint64_t first_block, std::uint64_t counter, std::uint64_t key,
                               std::uint32_t* words) {
    u64 c0[vectors_at_once], c1[vectors_at_once], c2[vectors_at_once], c3[vectors_at_once];
    for (index_t v = 0; v < vectors_at_once; ++v) {
        c0[v] = bit_cast<u64>(lane_index<double>()) + (first_block + static_cast<std::uint64_t>(v * blocks_per_vector));
        c1[v] = c0[v] >> 32;
        c2[v] = u64{} + counter;
        c3[v] = u64{} + (counter >> 32);
    }
    const u64 multiplier0 = u64{} + 0xD2511F53u;
    const u64 multiplier2 = u64{} + 0xCD9E8D57u;
    auto key0 = static_cast<std::uint32_t>(key);
    auto key1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        for (index_t v = 0; v < vectors_at_once; ++v) {
            const u64 a = multiply_low_words(c0[v], multiplier0);
            const u64 b = multiply_low_words(c2[v], multiplier2);
            c0[v] = (b >> 32) ^ c1[v] ^ key0;
            c1[v] = b;
            c2[v] = (a >> 32) ^ c3[v] ^ key1;
            c3[v] = a;
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    for (index_t v = 0; v < vectors_at_once; ++v) {
        const u64 low = (c0[v] & 0xffffffffu) | (c1[v] << 32);
        const u64 high = (c2[v] & 0xffffffffu) | (c3[v] << 32);
        for (index_t j = 0; j < blocks_per_vector; ++j) {
            std::uint32_t* to = words + 4 * (v * blocks_per_vector + j);
            to[0] = static_cast<std::uint32_t>(low[j]);
            to[1] = static_cast<std::uint32_t>(low[j] >> 32);
            to[2] = static_cast<std::uint32_t>(high[j]);
            to[3] = static_cast<std::uint32_t>(high[j] >> 32);
        }
    }
}

// Which of the next `width` words reach the threshold.
RELU_LAYERS_INLINE I at_least(const std::uint32_t* words, std::uint32_t threshold) {
    return bit_cast<I>(load_words<T>(words) >= threshold);
}

}  // namespace

void dropout(const T* x, T* y, index_t n, std::uint64_t first, std::uint32_t threshold, T scale, std::uint64_t key,
             std::uint64_t counter) {
    const V zero = broadcast(T(0));
    std::uint32_t words[words_at_once + width<T>] = {};  // the last vector may start up to 3 words late
    while (n > 0) {
        philox(first / 4, counter, key, words);
        const auto skipped = static_cast<index_t>(first % 4);
        const index_t count = n < words_at_once - skipped ? n : words_at_once - skipped;
        for_each_vector<T>(count, [&](index_t i, auto lanes) {
            put(y + i, at_least(words + skipped + i, threshold) ? get(x + i, lanes) * scale : zero, lanes);
        });
        x += count;
        y += count;
        n -= count;
        first += static_cast<std::uint64_t>(count);
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
