// Numbers in arrays that Python and the replays share: progress, rates, and the counters of dropout's masks.
#pragma once

#include <vector>

#include "bindings/numpy.h"

namespace relu_layers::bindings {

// The numbers of an array, kept alive; none where Python passes None.
template <class T>
class SharedNumbers {
  public:
    explicit SharedNumbers(py::handle array) : array_(borrowed(array)) {
        if (array.is_none()) return;
        if (!is_array(array.ptr())) throw py::type_error("expected an array");
        data_ = reinterpret_cast<T*>(struct_of(array.ptr())->data);
    }

    PyObject* array() const { return array_.ptr(); }
    T* data() const { return data_; }
    T& operator*() const { return *data_; }

  private:
    py::object array_;
    T* data_ = nullptr;
};

// The counters of the masks, a uint64 for each layer with dropout.
class Counters {
  public:
    using Values = std::vector<std::uint64_t>;

    // A list of arrays (1,).
    explicit Counters(py::handle arrays) {
        for_each(arrays, [&](py::handle array) {
            numbers_.emplace_back(array);
            places_.push_back(numbers_.back().data());
        });
    }

    Values values() const {
        Values found;
        for (const std::uint64_t* place : places_) found.push_back(*place);
        return found;
    }
    // Whether all have advanced alike since they had these values.
    bool in_step(const Values& before) const {
        for (std::size_t i = 1; i < places_.size(); ++i)
            if (*places_[i] - before[i] != *places_[0] - before[0]) return false;
        return true;
    }
    // How far, 0 where there is none.
    std::uint64_t since(const Values& before) const { return places_.empty() ? 0 : *places_[0] - before[0]; }
    void advance() {
        for (std::uint64_t* place : places_) ++*place;
    }
    const std::vector<std::uint64_t*>& places() const { return places_; }

  private:
    std::vector<SharedNumbers<std::uint64_t>> numbers_;
    std::vector<std::uint64_t*> places_;
};

}  // namespace relu_layers::bindings
