// Dropout with a mask that is a function of (key, counter, element index), so that threads and order do not matter:
//   y = x / (1 - rate) where word >= floor(rate * 2^32), else 0
// word i % 4 of Philox4x32-10 (Salmon et al. 2011) with counter words (i/4 low, i/4 high, counter low, counter high)
// and key words (key low, key high). y may be x. The backward pass is the same function of dy.
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

struct Words {
    std::uint32_t word[4];
};

RL_INLINE Words philox(std::uint64_t block, std::uint64_t counter, std::uint64_t key) {
    std::uint32_t c0 = static_cast<std::uint32_t>(block), c1 = static_cast<std::uint32_t>(block >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(counter), c3 = static_cast<std::uint32_t>(counter >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t(0xD2511F53u) * c0;
        const std::uint64_t b = std::uint64_t(0xCD9E8D57u) * c2;
        c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
        c1 = static_cast<std::uint32_t>(b);
        c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
        c3 = static_cast<std::uint32_t>(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

}  // namespace

void dropout(const T* x, T* y, index_t n, std::uint64_t first, std::uint32_t threshold, T scale, std::uint64_t key,
             std::uint64_t counter) {
    std::uint64_t element = first;
    for (index_t i = 0; i < n;) {
        const Words words = philox(element / 4, counter, key);
        for (std::uint64_t w = element % 4; w < 4 && i < n; ++w, ++i, ++element)
            y[i] = words.word[w] >= threshold ? x[i] * scale : T(0);
    }
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
