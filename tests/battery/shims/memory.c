// Preloaded: the n-th allocation, or the n-th start of a thread, fails, once or from then on. What counts are the calls
// of one thread, or, with ranges of addresses, those of them that come from there: the code of some libraries.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static volatile int armed, threads_armed, nth, from_then_on, count;
static volatile uintptr_t code[4];
// Initial-exec: the general way to such a variable allocates.
static __thread int mine __attribute__((tls_model("initial-exec")));
// dlsym itself allocates: what it gets before the real calloc is known.
static char early[16384];
static size_t early_used;

// threads: starts of threads fail instead of allocations. ranges: first and last address of two pieces of code, all 0
// where every allocation of the calling thread counts.
void memory_arm(int which, int forever, int threads, const size_t *ranges) {
    nth = which;
    from_then_on = forever;
    count = 0;
    for (int i = 0; i < 4; ++i) code[i] = ranges[i];
    mine = 1;
    threads_armed = threads;
    armed = 1;
}

void memory_disarm(void) {
    armed = 0;
    mine = 0;
}

int memory_count(void) { return count; }

static int reached(void) {
    const int now = __sync_add_and_fetch(&count, 1);
    return now == nth || (from_then_on && now >= nth);
}

static int fails(const void *caller) {
    if (!armed || threads_armed || !mine) return 0;
    const uintptr_t at = (uintptr_t)caller;
    if (code[1] && (at < code[0] || at >= code[1]) && (at < code[2] || at >= code[3])) return 0;
    return reached();
}

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))
#define REAL(name)                 \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void *malloc(size_t size) {
    REAL(malloc);
    if (!fails(CALLER)) return real(size);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t number, size_t size) {
    static void *(*real)(size_t, size_t);
    static int looking;
    if (!real) {
        if (looking) {
            void *memory = early + early_used;
            early_used += (number * size + 15) & ~(size_t)15;
            return memory;
        }
        looking = 1;
        real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
        looking = 0;
    }
    if (!fails(CALLER)) return real(number, size);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *memory, size_t size) {
    REAL(realloc);
    if (!fails(CALLER)) return real(memory, size);
    errno = ENOMEM;
    return NULL;
}

void *aligned_alloc(size_t alignment, size_t size) {
    REAL(aligned_alloc);
    if (!fails(CALLER)) return real(alignment, size);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    REAL(posix_memalign);
    return fails(CALLER) ? ENOMEM : real(memory, alignment, size);
}

void free(void *memory) {
    if ((char *)memory >= early && (char *)memory < early + sizeof early) return;
    REAL(free);
    real(memory);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *argument) {
    REAL(pthread_create);
    if (armed && threads_armed && reached()) return EAGAIN;
    return real(thread, attributes, work, argument);
}
