#include "bindings/operands.h"

namespace relu_layers::bindings {

index_t count(const Array& array, int begin, int end) {
    index_t n = 1;
    for (int i = begin; i < end; ++i) n *= array.shape[i];
    return n;
}

bool single_stride(const Array& array, int begin, int end, index_t& stride) {
    stride = 0;
    index_t next = 0;  // what the stride of the next axis outwards must be
    bool first = true;
    for (int i = end - 1; i >= begin; --i) {
        if (array.shape[i] == 1) continue;
        if (array.shape[i] == 0) {
            stride = 0;
            return true;
        }
        if (first) stride = array.strides[i];
        else if (array.strides[i] != next) return false;
        first = false;
        next = array.strides[i] * array.shape[i];
    }
    return true;
}

namespace {

// Whether axes [split, ndim) are contiguous and the axes before have a single stride: readable as Rows.
bool row_contiguous(const Array& array, int split) {
    if (array.plain()) return true;
    if (!array.aligned()) return false;
    index_t expected = array.item_bytes;
    for (int i = array.ndim - 1; i >= split; --i) {
        if (array.shape[i] != 1 && array.strides[i] != expected) return false;
        expected *= array.shape[i];
    }
    index_t stride = 0;
    return single_stride(array, 0, split, stride) && stride % array.item_bytes == 0;
}

}  // namespace

int common_split(Call& call, std::initializer_list<Array*> arrays) {
    const int ndim = (*arrays.begin())->ndim;
    bool all_plain = true;
    for (Array* array : arrays) all_plain = all_plain && array->plain();
    if (all_plain) return 0;
    for (Array* array : arrays) {
        bool somehow = false;
        for (int split = 0; split < ndim && !somehow; ++split) somehow = row_contiguous(*array, split);
        if (!somehow) call.copy(*array);
    }
    for (int split = 0; split < ndim; ++split) {
        bool all = true;
        for (Array* array : arrays) all = all && row_contiguous(*array, split);
        if (all) return split;
    }
    for (Array* array : arrays)
        if (!array->plain()) call.copy(*array);
    return 0;
}

void read_contiguous(Call& call, Array& array, Argument given) {
    call.read_floats(array, given);
    if (!array.contiguous())
        call.value_error(
            "%s has shape %s and is not C-contiguous, expected a C-contiguous array: pass np.ascontiguousarray(%s)",
            given.name, text_of(array).c_str(), given.name);
}

AsRows::View AsRows::of(Call& call) const {
    if (!row_contiguous(array, split)) call.copy(array);
    const index_t cols = count(array, split, array.ndim);
    index_t stride = cols * array.item_bytes;
    if (!array.plain()) single_stride(array, 0, split, stride);
    return {array.place(), count(array, 0, split), cols, stride / array.item_bytes};
}

AsMatrix::View AsMatrix::of(Call& call) const {
    const int last = array.ndim - 1;
    index_t row_stride = 0;
    const bool readable = array.aligned() && single_stride(array, 0, last, row_stride) &&
                          row_stride % array.item_bytes == 0 &&
                          (array.shape[last] <= 1 || array.strides[last] % array.item_bytes == 0);
    if (!readable) {
        call.copy(array);
        single_stride(array, 0, last, row_stride);
    }
    return {array.place(), count(array, 0, last), array.shape[last], row_stride / array.item_bytes,
            array.strides[last] / array.item_bytes};
}

void read_integers(Call& call, Array& array, Argument given) {
    call.read(array, given);
    if (!array.is_integer())
        call.type_error("%s has dtype %S, expected integers: pass %s.astype(np.int64)", given.name, dtype(array),
                        given.name);
}

int class_axis(Call& call, const Array& array, Argument axis_) {
    const std::int64_t axis = call.integer(axis_);
    if (axis < -array.ndim || axis >= array.ndim)
        call.value_error("axis is %lld, but %s has shape %s: expected -ndim <= axis < ndim",
                         static_cast<long long>(axis), array.name, text_of(array).c_str());
    return static_cast<int>(axis < 0 ? axis + array.ndim : axis);
}

}  // namespace relu_layers::bindings
