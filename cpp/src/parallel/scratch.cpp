#include <cstddef>
#include <new>

#include "relu_layers/parallel.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace relu_layers {
namespace {

constexpr std::size_t line = 64;
// Packed panels are walked in strides that would miss the translation buffers page by page: large buffers start at such
// a boundary and are offered to the system for huge pages.
constexpr std::size_t huge_page = std::size_t(2) << 20;

struct Buffer {
    void* data = nullptr;
    std::size_t bytes = 0;

    ~Buffer() { release(); }
    static std::align_val_t alignment(std::size_t size) {
        return std::align_val_t(size >= huge_page ? huge_page : line);
    }
    void release() {
        if (data != nullptr) ::operator delete(data, alignment(bytes));
        data = nullptr;
        bytes = 0;
    }
    void* at_least(std::size_t wanted) {
        if (wanted > bytes) {
            release();
            data = ::operator new(wanted, alignment(wanted));
            bytes = wanted;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
            // Advice: a system without huge pages goes on with small ones.
            if (wanted >= huge_page) madvise(data, wanted / huge_page * huge_page, MADV_HUGEPAGE);
#endif
        }
        return data;
    }
};

thread_local Buffer buffers[static_cast<int>(Scratch::count)];

}  // namespace

void* scratch(Scratch slot, std::size_t bytes) { return buffers[static_cast<int>(slot)].at_least(bytes); }

}  // namespace relu_layers
