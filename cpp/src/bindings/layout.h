// How arrays of any layout lie in memory, and what the views that the ops take ask of it.
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

// The first axis of the rows in which all arrays, of one shape, can be read together; copies those that cannot.
int common_split(Call& call, std::initializer_list<Array*> arrays);

// The axis that holds the classes, counted from the front.
int class_axis(Call& call, const Array& array, Argument axis);

// An input that the op reads as one run of numbers, of any shape: C-contiguous, else a ValueError.
void read_contiguous(Call& call, Array& array, Argument given);

}  // namespace relu_layers::bindings
