// How many rows predict their label: np.argmax(x, axis=1) == label, the first maximum counting and NaN being the
// largest. No maximum is looked for: a label is the answer where everything before it is smaller and nothing after it
// is larger, and the first number that says otherwise ends the row.
#define RELU_LAYERS_KERNELS "table/classes.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

// Lanes that say otherwise: those before the label must be less than its own number, the others not greater.
RELU_LAYERS_INLINE I contradicts(V v, V own, I before) { return before ? ~(v < own) : ~(v <= own); }

RELU_LAYERS_INLINE bool is_first_nan(const T* x, index_t label) {
    index_t i = 0;
    while (x[i] == x[i]) ++i;
    return i == label;
}

// Whether the `classes` numbers of one vector, or fewer, hold nothing against the label: no branch, since on a half
// trained network no processor could predict it.
RELU_LAYERS_INLINE bool is_correct_in_vector(const T* x, index_t label, index_t classes) {
    const V v = classes == width<T> ? load(x) : get_or(x, Tail{classes}, -T(__builtin_inf()));
    return !any_lane(contradicts(v, broadcast(x[label]), lanes_below<T>(label)));
}

constexpr index_t vectors_at_once = 4;

// The same of n numbers that all lie before the label, or all behind it.
RELU_LAYERS_INLINE bool is_correct_in_run(const T* x, index_t n, V own, I before) {
    index_t i = 0;
    for (; i + vectors_at_once * width<T> <= n; i += vectors_at_once * width<T>) {
        I wrong{};
        for (index_t k = 0; k < vectors_at_once; ++k)
            wrong = wrong | contradicts(load(x + i + k * width<T>), own, before);
        if (any_lane(wrong)) return false;
    }
    I wrong{};
    for_each_vector<T>(n - i, [&](index_t j, auto lanes) {
        wrong = wrong | contradicts(get_or(x + i + j, lanes, -T(__builtin_inf())), own, before);
    });
    return !any_lane(wrong);
}

RELU_LAYERS_INLINE bool is_correct(const T* x, index_t label, index_t classes) {
    const index_t start = label / width<T> * width<T>;
    const index_t n = classes - start < width<T> ? classes - start : width<T>;
    const V own = broadcast(x[label]);
    return is_correct_in_vector(x + start, label - start, n) && is_correct_in_run(x, start, own, I{} - 1) &&
           is_correct_in_run(x + start + n, classes - start - n, own, I{});
}

}  // namespace

index_t count_correct(const T* x, index_t x_stride, const std::int64_t* label, index_t rows, index_t classes) {
    index_t correct = 0;
    for (index_t row = 0; row < rows; ++row, x += x_stride) {
        const auto wanted = static_cast<index_t>(label[row]);
        if (wanted < 0 || wanted >= classes) continue;
        if (x[wanted] != x[wanted]) correct += is_first_nan(x, wanted);
        else if (classes <= width<T>) correct += is_correct_in_vector(x, wanted, classes);
        else correct += is_correct(x, wanted, classes);
    }
    return correct;
}

// How many of n numbers say the same as their targets: (x > 0) == (target > 1/2), the threshold of a sigmoid; NaN says
// nothing.
index_t count_agreeing(const T* x, const T* target, index_t n) {
    index_t agreeing = 0;
    for (index_t i = 0; i < n; ++i) agreeing += (x[i] == x[i]) & ((x[i] > T(0)) == (target[i] > T(0.5)));
    return agreeing;
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
