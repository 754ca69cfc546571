// Preloaded: calls on files below one folder are counted by kind, and the n-th of one kind fails, once or from then on.
// Kinds: 0 opening for writing, 1 write, 2 fsync of a file, 3 rename, 4 close, 5 fsync of the folder.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { opening, writing, syncing, renaming, closing, folder_syncing, kinds };
enum { descriptors = 4096, longest_order = 64 };

static char folder[1024];
static int failing = -1, which, number, from_then_on;
static int counts[kinds];
static char watched[descriptors];
static char order[longest_order + 1];

// error 0 makes a write short instead of failing it; kind -1 only counts.
void io_arm(const char *below, int kind, int nth, int error, int forever) {
    snprintf(folder, sizeof folder, "%s", below);
    failing = kind;
    which = nth;
    number = error;
    from_then_on = forever;
    memset(counts, 0, sizeof counts);
    memset(watched, 0, sizeof watched);
    memset(order, 0, sizeof order);
}

int io_count(int kind) { return counts[kind]; }

// One letter per call (o w f r c d), repetitions left out.
const char *io_order(void) { return order; }

static int fails(int kind) {
    const char letter = "owfrcd"[kind];
    const size_t length = strlen(order);
    if (length < longest_order && (length == 0 || order[length - 1] != letter)) order[length] = letter;
    const int count = ++counts[kind];
    return kind == failing && (count == which || (from_then_on && count >= which));
}

static int is_below(const char *path) {
    const size_t length = strlen(folder);
    return path && length && strncmp(path, folder, length) == 0;
}

static int is_watched(int descriptor) { return descriptor >= 0 && descriptor < descriptors && watched[descriptor]; }

static int is_folder(int descriptor) {
    struct stat status;
    return folder[0] && fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
}

#define REAL(name)                    \
    static __typeof__(&name) real;    \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int open_it(int at, const char *path, int flags, int mode) {
    REAL(openat64);
    const int ours = is_below(path) && (flags & O_ACCMODE) != O_RDONLY;
    if (ours && fails(opening)) {
        errno = number;
        return -1;
    }
    const int descriptor = real(at, path, flags, mode);
    if (descriptor >= 0 && descriptor < descriptors) watched[descriptor] = (char)ours;
    return descriptor;
}

#define MODE(flags)                              \
    int mode = 0;                                \
    if (flags & (O_CREAT | O_TMPFILE)) {         \
        va_list rest;                            \
        va_start(rest, flags);                   \
        mode = va_arg(rest, int);                \
        va_end(rest);                            \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_it(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    MODE(flags)
    return open_it(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    MODE(flags)
    return open_it(at, path, flags, mode);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    REAL(write);
    if (is_watched(descriptor) && fails(writing)) {
        if (number == 0) return real(descriptor, bytes, count > 1 ? count / 2 : count);
        errno = number;
        return -1;
    }
    return real(descriptor, bytes, count);
}

int fsync(int descriptor) {
    REAL(fsync);
    if (is_watched(descriptor) ? fails(syncing) : is_folder(descriptor) && fails(folder_syncing)) {
        errno = number;
        return -1;
    }
    return real(descriptor);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    if (is_below(to) && fails(renaming)) {
        errno = number;
        return -1;
    }
    return real(from, to);
}

int close(int descriptor) {
    REAL(close);
    if (!is_watched(descriptor)) return real(descriptor);
    watched[descriptor] = 0;
    const int failed = fails(closing);
    const int result = real(descriptor);
    if (!failed) return result;
    errno = number;
    return -1;
}
