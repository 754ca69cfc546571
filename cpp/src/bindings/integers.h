// Integer labels as the ops take them.
#pragma once

#include "bindings/operands.h"
#include "relu_layers/ops.h"

namespace relu_layers::bindings {

inline bool is_integer(const Array& array) {
    return array.type >= first_integer_type && array.type <= last_integer_type;
}

// NumPy numbers its integers signed, unsigned, signed, ... from int8 on.
inline bool is_signed(const Array& array) { return (array.type - first_integer_type) % 2 == 0; }

// Integers of any width, expected of the argument.
inline void read_integers(Call& call, Array& array, Argument given) {
    call.read(array, given);
    if (!is_integer(array))
        call.type_error("%s has dtype %S, expected integers: pass %s.astype(np.int64)", given.name, dtype(array),
                        given.name);
}

// Such an array as an operand.
struct AsIntegers {
    Array& array;

    template <class T>
    Placed<ops::Labels> of(Call& call) const {
        if (!array.plain()) call.copy(array);
        return array.placed(ops::Labels{array.data, static_cast<int>(array.item_bytes), is_signed(array)});
    }
};

}  // namespace relu_layers::bindings
