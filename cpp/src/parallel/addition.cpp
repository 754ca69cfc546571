// Sums over processes, block by block: a block is copied to shared memory, all meet, and it is added while it is still in
// the caches. Whole arrays would go through the third level, or through memory, at each of these steps.
#include <algorithm>
#include <cstring>

#include "relu_layers/parallel.h"

namespace relu_layers {

namespace {

constexpr index_t elements_at_once = 256;  // sums stay in the first level
constexpr index_t cache_line = 64;

// out[i] = earlier[i] + array(0)[i] + array(1)[i] + ... for begin <= i < end, added from left to right.
template <class T, class ArrayOf>
void add_range(index_t begin, index_t end, const T* earlier, index_t count, const ArrayOf& array, T* out) {
    T sums[elements_at_once];
    for (index_t first = begin; first < end; first += elements_at_once) {
        const index_t n = std::min(elements_at_once, end - first);
        const T* start = (earlier != nullptr ? earlier : array(0)) + first;
        std::copy(start, start + n, sums);
        for (index_t one = earlier != nullptr ? 0 : 1; one < count; ++one) {
            const T* values = array(one) + first;
            for (index_t i = 0; i < n; ++i) sums[i] += values[i];
        }
        std::copy(sums, sums + n, out + first);
    }
}

}  // namespace

// Two turns, so that a process may write the next block while others still read this one: each has a row of every
// process, and one for the sums of the parts.
index_t shared_elements(index_t processes, index_t block) { return 2 * (processes + 1) * block; }

template <class T>
void add_in_order(const Addition& addition, T* shared, index_t size, T* array, const T* earlier, T* total,
                  index_t count, bool last) {
    const index_t own = addition.own, processes = addition.processes, block = addition.block;
    const bool in_parts = addition.in_parts;
    constexpr index_t line = cache_line / index_t(sizeof(T));
    index_t turn = 0;
    for (index_t begin = 0; begin < size; begin += block, turn ^= 1) {
        const index_t n = std::min(block, size - begin);
        T* const rows = shared + turn * (processes + 1) * block;
        T* const sums = rows + processes * block;
        T* const array_here = array + begin;
        if (own < count) std::memcpy(rows + own * block, array_here, std::size_t(n) * sizeof(T));
        meet_processes(addition.lines, own, processes, addition.seconds);
        // Parts that begin on a cache line: none is written by two processes.
        const index_t part = (n + processes * line - 1) / (processes * line) * line;
        const index_t from = in_parts ? std::min(n, own * part) : 0;
        const index_t to = in_parts ? std::min(n, from + part) : n;
        T* const out = !last ? total + begin : in_parts ? sums : array_here;
        const auto array_of = [=](index_t one) -> const T* { return one == own ? array_here : rows + one * block; };
        add_range(from, to, earlier != nullptr ? earlier + begin : nullptr, count, array_of, out);
        if (last && in_parts) {
            meet_processes(addition.lines, own, processes, addition.seconds);
            std::memcpy(array_here, sums, std::size_t(n) * sizeof(T));
        }
    }
}

template void add_in_order(const Addition&, float*, index_t, float*, const float*, float*, index_t, bool);
template void add_in_order(const Addition&, double*, index_t, double*, const double*, double*, index_t, bool);

}  // namespace relu_layers
