#include <cstring>

#include "relu_layers/ops.h"

namespace relu_layers::ops {
namespace {

template <class Int>
Int read(const void* data, index_t i) {
    Int value;
    std::memcpy(&value, static_cast<const char*>(data) + i * index_t(sizeof(Int)), sizeof(Int));
    return value;
}

}  // namespace

// An unsigned 64-bit label beyond the signed range reads as negative, which is out of range as well.
std::int64_t Labels::operator[](index_t i) const {
    switch (item_bytes) {
        case 1: return is_signed ? read<std::int8_t>(data, i) : read<std::uint8_t>(data, i);
        case 2: return is_signed ? read<std::int16_t>(data, i) : read<std::uint16_t>(data, i);
        case 4: return is_signed ? read<std::int32_t>(data, i) : std::int64_t(read<std::uint32_t>(data, i));
        default: return read<std::int64_t>(data, i);
    }
}

index_t find_bad_label(Labels labels, index_t positions, index_t classes, bool has_ignore, std::int64_t ignore_label) {
    for (index_t i = 0; i < positions; ++i) {
        const std::int64_t label = labels[i];
        if ((label < 0 || label >= classes) && !(has_ignore && label == ignore_label)) return i;
    }
    return -1;
}

}  // namespace relu_layers::ops
