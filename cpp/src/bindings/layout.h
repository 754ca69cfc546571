// From arrays of any layout to the views that the ops take: read in place where the layout allows, copied otherwise.
#pragma once

#include "bindings/call.h"

namespace relu_layers::bindings {

// The number of elements of axes [begin, end).
index_t count(const Array& array, int begin, int end);

// Whether axes [begin, end) are one axis in memory with a single stride (in bytes), which is stored. An axis group of
// at most one element has stride 0.
bool single_stride(const Array& array, int begin, int end, index_t& stride);

// Whether axes [split, ndim) are contiguous and the axes before have a single stride: readable as Rows.
bool row_contiguous(const Array& array, int split);

// The view with axes [split, ndim) as a row. Copies the array first where it must.
template <class T>
Placed<Rows<const T>> rows(Call& call, Array& array, int split) {
    if (!row_contiguous(array, split)) call.copy(array);
    index_t stride = 0;
    const index_t n = count(array, 0, split);
    const index_t cols = count(array, split, array.ndim);
    if (array.plain()) return array.placed(Rows<const T>{array.as<const T>(), n, cols, cols});
    single_stride(array, 0, split, stride);
    return array.placed(Rows<const T>{array.as<const T>(), n, cols, stride / array.item_bytes});
}

// The first axis of the rows in which all arrays, of one shape, can be read together; copies those that cannot.
int common_split(Call& call, std::initializer_list<Array*> arrays);

// The last two axes, or all axes before the last and the last, as a matrix. Copies the array where the leading axes
// have no single stride or where the elements are misaligned.
template <class T>
Placed<Matrix<const T>> matrix(Call& call, Array& array) {
    const int last = array.ndim - 1;
    index_t row_stride = 0;
    const auto readable = [&] {
        return array.aligned() && single_stride(array, 0, last, row_stride) && row_stride % array.item_bytes == 0 &&
               (array.shape[last] <= 1 || array.strides[last] % array.item_bytes == 0);
    };
    if (!readable()) {
        call.copy(array);
        single_stride(array, 0, last, row_stride);
    }
    return array.placed(Matrix<const T>{array.as<const T>(), count(array, 0, last), array.shape[last],
                                        row_stride / array.item_bytes, array.strides[last] / array.item_bytes});
}

// The axis that holds the classes, counted from the front.
int class_axis(Call& call, const Array& array, Argument axis);

// An input that the op reads as one run of numbers, of any shape: C-contiguous, else a ValueError.
void read_contiguous(Call& call, Array& array, Argument given);

// A contiguous run of numbers. Copies the array where it must; nullptr for an absent one.
template <class T>
Placed<const T*> contiguous(Call& call, Array& array) {
    if (array.present() && !array.plain()) call.copy(array);
    return array.pointer<const T>();
}

}  // namespace relu_layers::bindings
