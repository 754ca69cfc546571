#include "ops/labels.h"

#include <algorithm>
#include <cstring>

#include "ops/loss_blocks.h"
#include "dispatch/kernels.h"

namespace relu_layers::ops {
namespace {

template <class Int>
Int read(const void* data, index_t i) {
    Int value;
    std::memcpy(&value, static_cast<const char*>(data) + i * index_t(sizeof(Int)), sizeof(Int));
    return value;
}

// Calls run(Int()) with the type of the labels. An unsigned 64-bit label beyond the signed range reads as negative,
// which is out of range as well.
template <class Run>
void with_type(const Labels& labels, Run&& run) {
    switch (labels.item_bytes) {
        case 1:
            return labels.is_signed ? run(std::int8_t()) : run(std::uint8_t());
        case 2:
            return labels.is_signed ? run(std::int16_t()) : run(std::uint16_t());
        case 4:
            return labels.is_signed ? run(std::int32_t()) : run(std::uint32_t());
        default:
            return run(std::int64_t());
    }
}

}  // namespace

std::int64_t Labels::operator[](index_t i) const {
    std::int64_t label = 0;
    copy_labels(*this, i, 1, &label);
    return label;
}

void copy_labels(const Labels& labels, index_t first, index_t count, std::int64_t* to) {
    with_type(labels, [&](auto type) {
        for (index_t i = 0; i < count; ++i)
            to[i] = static_cast<std::int64_t>(read<decltype(type)>(labels.data, first + i));
    });
}

index_t find_bad_label(Labels labels, index_t positions, index_t classes, bool has_ignore, std::int64_t ignore_label) {
    index_t found = -1;
    with_type(labels, [&](auto type) {
        const auto label = [&](index_t i) { return static_cast<std::int64_t>(read<decltype(type)>(labels.data, i)); };
        // A block without any label out of range needs no closer look; as unsigned, negative labels are too large.
        constexpr index_t block = 512;
        for (index_t start = 0; start < positions && found < 0; start += block) {
            const index_t end = std::min(positions, start + block);
            int bad = 0;
            for (index_t i = start; i < end; ++i)
                bad |= static_cast<std::uint64_t>(label(i)) >= static_cast<std::uint64_t>(classes);
            if (bad == 0) continue;
            for (index_t i = start; i < end && found < 0; ++i)
                if ((label(i) < 0 || label(i) >= classes) && !(has_ignore && label(i) == ignore_label)) found = i;
        }
    });
    return found;
}

template <class T>
index_t count_correct(const Rows<const T>& logits, Labels labels) {
    const auto kernel = kernels<T>().count_correct;
    const double cost = 0.1 * double(logits.rows * logits.cols);
    return static_cast<index_t>(sum_of_blocks(logits.rows, cost, [&](index_t first, index_t count) {
        std::int64_t label[loss_block];
        copy_labels(labels, first, count, label);
        return double(kernel(logits.row(first), logits.stride, label, count, logits.cols));
    }));
}

template index_t count_correct(const Rows<const float>&, Labels);
template index_t count_correct(const Rows<const double>&, Labels);

}  // namespace relu_layers::ops
