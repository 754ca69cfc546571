// Lanes in another order.
#pragma once

#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

template <int... lane>
struct LaneList {};
template <int n, int... lane>
struct LanesUpTo : LanesUpTo<n - 1, n - 1, lane...> {};
template <int... lane>
struct LanesUpTo<0, lane...> {
    using List = LaneList<lane...>;
};

// Lane j of the result is lane `lane[j]` of a and b, one behind the other; the list may be shorter or longer than they.
#if defined(__clang__) || __GNUC__ >= 12
template <class V, int... lane>
RELU_LAYERS_INLINE auto shuffle(V a, V b, LaneList<lane...>) {
    return __builtin_shufflevector(a, b, lane...);
}
#else
template <class V, int... lane>
RELU_LAYERS_INLINE auto shuffle(V a, V b, LaneList<lane...>) {
    using T = __typeof__(+a[0]);
    constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(T));
    if constexpr (sizeof...(lane) == lanes) {
        using Mask = decltype(a < b);
        return __builtin_shuffle(a, b, Mask{lane...});
    } else {
        using Result __attribute__((vector_size(sizeof...(lane) * sizeof(T)))) = T;
        return Result{(lane < lanes ? a[lane % lanes] : b[lane % lanes])...};
    }
}
#endif

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
