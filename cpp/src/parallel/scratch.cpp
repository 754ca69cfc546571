#include <cstddef>
#include <new>

#include "relu_layers/parallel.h"

#ifndef _WIN32
#include <pthread.h>
#endif
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

// Without constructors and destructors: the C library ends the process where it has no memory to note the destructor of a
// thread's variable. A key says that it has none.
thread_local Buffer buffers[static_cast<int>(Scratch::count)];
thread_local bool freed_at_exit = false;

void free_buffers(void*) {
    for (Buffer& buffer : buffers) buffer.release();
    freed_at_exit = false;
}

#ifdef _WIN32
struct AtExit {
    ~AtExit() { free_buffers(nullptr); }
};
void free_at_thread_exit() {
    static thread_local AtExit at_exit;
    static_cast<void>(at_exit);
    freed_at_exit = true;
}
#else
void free_at_thread_exit() {
    static pthread_key_t key;
    static const int failed = pthread_key_create(&key, &free_buffers);
    if (failed != 0 || pthread_setspecific(key, buffers) != 0) throw std::bad_alloc();
    freed_at_exit = true;
}
#endif

}  // namespace

void* scratch(Scratch slot, std::size_t bytes) {
    if (!freed_at_exit) free_at_thread_exit();
    return buffers[static_cast<int>(slot)].at_least(bytes);
}

}  // namespace relu_layers
