// Objects whose changes captures look for: layers, losses, optimizers, trainers. Each counts its own, so that a change
// costs only what depends on that object.
#pragma once

#include <memory>
#include <vector>

#include "bindings/python.h"

namespace relu_layers::bindings {

// The number of changes of one object. It outlives the object where something looks at it: holding the object itself
// would be a circle of references (a trainer has its captures) that nothing can collect.
using Changes = std::shared_ptr<std::int64_t>;

// The changes of a Watched object, from now on counted.
Changes changes_of(py::handle watched);

// How often an attribute of a Watched object has been set, whatever its name; valid as long as the object.
const std::int64_t* assignments_of(py::handle watched);

// Several objects, and whether one of them has changed since this was made or renewed. Guarded by the GIL.
class Configuration {
  public:
    // A sequence of Watched objects.
    explicit Configuration(py::handle objects);

    bool holds() const { return sum() == sum_; }
    void renew() { sum_ = sum(); }

  private:
    std::int64_t sum() const {
        std::int64_t total = 0;
        for (const Changes& changes : changes_) total += *changes;
        return total;
    }

    std::vector<Changes> changes_;
    std::int64_t sum_ = 0;
};

}  // namespace relu_layers::bindings
