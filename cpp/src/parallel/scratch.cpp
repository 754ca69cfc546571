#include <cstddef>
#include <new>

#include "relu_layers/parallel.h"

namespace relu_layers {
namespace {

constexpr std::align_val_t alignment{64};

struct Buffer {
    void* data = nullptr;
    std::size_t bytes = 0;

    ~Buffer() { release(); }
    void release() {
        if (data != nullptr) ::operator delete(data, alignment);
        data = nullptr;
        bytes = 0;
    }
    void* at_least(std::size_t wanted) {
        if (wanted > bytes) {
            release();
            data = ::operator new(wanted, alignment);
            bytes = wanted;
        }
        return data;
    }
};

thread_local Buffer buffers[static_cast<int>(Scratch::count)];

}  // namespace

void* scratch(Scratch slot, std::size_t bytes) { return buffers[static_cast<int>(slot)].at_least(bytes); }

}  // namespace relu_layers
