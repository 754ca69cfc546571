// exp, expm1 and log1p on vectors: the same operations on every target, lane and position, so the same bits.
//
// exp(x) = 2^n * exp(r) with n = round(x / ln 2) and |r| <= ln(2) / 2; ln 2 is split into a part with trailing zeros,
// so that n * high is exact, and a rest. exp(r) = 1 + r + r^2 * p(r), p interpolating in Chebyshev's points: degree 4
// for float (error of the whole 8e-9), 9 for double (2.0e-17). log(u) = k ln 2
// + log(1 + f), sqrt(1/2) <= 1 + f < sqrt(2); with s = f / (2 + f): log(1 + f) = f - s * (f - 2 s^2 (1/3 + s^2/5 +
// ...)).
#pragma once

#include "simd/vec.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
    static constexpr float log2_e = 1.44269504f;
    static constexpr float ln2_high = 0.693359375f;
    static constexpr float ln2_low = -2.12194440e-4f;
    static constexpr float round_magic =
        12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    static constexpr std::int32_t bias = 127;
    static constexpr int mantissa_bits = 23;
    static constexpr std::int32_t mantissa_mask = 0x7fffff;
    static constexpr std::int32_t sqrt_half_bits = 0x3f3504f3;
    static constexpr std::int32_t half_of_digits = ~0xfff;  // what is left has a square of 24 digits at most
    static constexpr float exp_lowest = -104.0f;            // exp of it rounds to 0
    static constexpr float exp_highest = 89.0f;             // exp of it is infinite
    static constexpr float expm1_lowest = -40.0f;
    static constexpr int exp_terms = 5;
    static constexpr float exp_p[exp_terms] = {0.5f, 0.166665766661f, 0.041666554213f, 0.00836323288368f,
                                               0.00139262508315f};
    static constexpr int log_terms = 5;
    static constexpr float log_p[log_terms] = {2.0f / 3, 2.0f / 5, 2.0f / 7, 2.0f / 9, 2.0f / 11};
};

template <>
struct MathConstants<double> {
    static constexpr double log2_e = 1.4426950408889634;
    static constexpr double ln2_high = 0.6931471803691238;
    static constexpr double ln2_low = 1.9082149292705877e-10;
    static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr std::int64_t bias = 1023;
    static constexpr int mantissa_bits = 52;
    static constexpr std::int64_t mantissa_mask = 0xfffffffffffff;
    static constexpr std::int64_t sqrt_half_bits = 0x3fe6a09e667f3bcd;
    static constexpr std::int64_t half_of_digits = ~0x7ffffffLL;
    static constexpr double exp_lowest = -746.0;
    static constexpr double exp_highest = 710.0;
    static constexpr double expm1_lowest = -80.0;
    static constexpr int exp_terms = 10;
    static constexpr double exp_p[exp_terms] = {0.5000000000000001,     0.16666666666666669,    0.04166666666662413,
                                                0.008333333333330062,   0.0013888888917213717,  0.00019841269863053618,
                                                2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07,
                                                2.510038549551032e-08};
    static constexpr int log_terms = 10;
    static constexpr double log_p[log_terms] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11,
                                                2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
};

// p[0] + x p[1] + x^2 p[2] + ..., by Horner's rule.
template <class T, int n>
RELU_LAYERS_INLINE Vec<T> polynomial(Vec<T> x, const T (&p)[n]) {
    Vec<T> sum = broadcast(p[n - 1]);
    RL_UNROLL
    for (int i = n - 2; i >= 0; --i) sum = fma(sum, x, broadcast(p[i]));
    return sum;
}

// Integers taken from the bits of a NaN may be anything: their arithmetic is unsigned, where wrapping is defined.
template <class T>
RELU_LAYERS_INLINE typename VecOf<T>::Word word(typename VecOf<T>::Bits bits) {
    return static_cast<typename VecOf<T>::Word>(bits);
}

// 2^n for integers n within the exponent range.
template <class T>
RELU_LAYERS_INLINE Vec<T> power_of_two(WordVec<T> n) {
    using C = MathConstants<T>;
    return bit_cast<Vec<T>>((n + word<T>(C::bias)) << C::mantissa_bits);
}

// x = n ln 2 + r; NaN gives some n and r = NaN.
template <class T>
struct Reduced {
    Vec<T> r;
    Vec<T> n;
    Vec<T> shifted;  // n + round_magic

    RELU_LAYERS_INLINE explicit Reduced(Vec<T> x) {
        using C = MathConstants<T>;
        const Vec<T> magic = broadcast(C::round_magic);
        shifted = fma(x, broadcast(C::log2_e), magic);
        n = shifted - magic;
        r = fma(n, broadcast(-C::ln2_low), fma(n, broadcast(-C::ln2_high), x));
    }
    // The same for x + rest, whose sum may need more digits.
    RELU_LAYERS_INLINE Reduced(Vec<T> x, Vec<T> rest) : Reduced(x + rest) {
        using C = MathConstants<T>;
        r = fma(n, broadcast(-C::ln2_low), fma(n, broadcast(-C::ln2_high), x) + rest);
    }
    RELU_LAYERS_INLINE WordVec<T> integer() const {
        return bit_cast<WordVec<T>>(shifted) - bit_cast<WordVec<T>>(broadcast(MathConstants<T>::round_magic));
    }
};

// x * 2^n, rounded once, for x near 1: also where 2^n alone would leave the exponent range.
template <class T>
RELU_LAYERS_INLINE Vec<T> scaled(Vec<T> x, const Reduced<T>& reduced) {
#if defined(__AVX512F__)
    return scale_by_power_of_two(x, reduced.n);
#else
    const WordVec<T> n = reduced.integer();
    // n / 2 rounded down, by an unsigned shift: 64-bit signed ones are missing from AVX2. |n| is below 2^11.
    const WordVec<T> half = ((n + word<T>(4096)) >> 1) - word<T>(2048);
    return x * power_of_two<T>(half) * power_of_two<T>(n - half);
#endif
}

// exp(r) - 1 for the reduced r, with relative accuracy near 0.
template <class T>
RELU_LAYERS_INLINE Vec<T> expm1_reduced(Vec<T> r) {
    const Vec<T> p = polynomial<T>(r, MathConstants<T>::exp_p);
    return fma(r * r, p, r);
}

template <class T>
RELU_LAYERS_INLINE Vec<T> exponential_of(const Reduced<T>& reduced) {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> p = polynomial<T>(reduced.r, MathConstants<T>::exp_p);
    return scaled<T>(fma(fma(p, reduced.r, one), reduced.r, one), reduced);
}

// exp(x) for x <= 0 or NaN.
template <class T>
RELU_LAYERS_INLINE Vec<T> exponential_of_negative(Vec<T> x) {
    return exponential_of<T>(Reduced<T>(greater_of(broadcast(MathConstants<T>::exp_lowest), x)));
}

// exp(-x^2 / 2) for 0 <= x <= 40 or NaN, to the last digits: x = h + l with an exact h^2, x^2 = h^2 + l * (x + h).
template <class T>
RELU_LAYERS_INLINE Vec<T> exponential_of_negative_half_square(Vec<T> x) {
    const Vec<T> h = bit_cast<Vec<T>>(bit_cast<WordVec<T>>(x) & word<T>(MathConstants<T>::half_of_digits));
    return exponential_of<T>(Reduced<T>(h * h * T(-0.5), (x - h) * (x + h) * T(-0.5)));
}

template <class T>
RELU_LAYERS_INLINE Vec<T> exponential(Vec<T> x) {
    return exponential_of_negative<T>(lesser_of(broadcast(MathConstants<T>::exp_highest), x));
}

// exp(x) - 1 for x <= 40 (what elu and tanh need), with relative accuracy near 0.
template <class T>
RELU_LAYERS_INLINE Vec<T> exponential_minus_one(Vec<T> x) {
    const Reduced<T> reduced(greater_of(broadcast(MathConstants<T>::expm1_lowest), x));
    const Vec<T> scale = power_of_two<T>(reduced.integer());
    const Vec<T> e = expm1_reduced<T>(reduced.r);
    const Vec<T> result = fma(scale, e, scale - T(1));
    return x == T(0) ? x : result;  // -0 stays -0
}

// log(1 + x) for x >= 0, infinity and NaN included, with relative accuracy near 0; `reciprocal` is 1 / (1 + x).
template <class T>
RELU_LAYERS_INLINE Vec<T> log_one_plus(Vec<T> x, Vec<T> reciprocal) {
    using C = MathConstants<T>;
    const Vec<T> u = x + T(1);
    const Vec<T> lost = x - (u - T(1));  // what rounding took from u
    const WordVec<T> bits = bit_cast<WordVec<T>>(u) - word<T>(C::sqrt_half_bits);
    const WordVec<T> k = bits >> C::mantissa_bits;  // a NaN's is not used
    const Vec<T> m = bit_cast<Vec<T>>((bits & word<T>(C::mantissa_mask)) + word<T>(C::sqrt_half_bits));
    // Without a power of two, 1 + f = u exactly and f is x itself.
    const Vec<T> f = k == word<T>(0) ? x : m - T(1);
    const Vec<T> correction = k == word<T>(0) ? Vec<T>{} : lost * reciprocal;
    const Vec<T> s = f / (f + T(2));
    const Vec<T> z = s * s;
    const Vec<T> rest = z * polynomial<T>(z, C::log_p);
    const Vec<T> log_m = f - s * (f - rest);
    const Vec<T> magic = broadcast(C::round_magic);
    const Vec<T> exponent = bit_cast<Vec<T>>(bit_cast<WordVec<T>>(magic) + k) - magic;  // k as a number
    const Vec<T> result =
        fma(exponent, broadcast(C::ln2_high), log_m + fma(exponent, broadcast(C::ln2_low), correction));
    const Vec<T> largest = broadcast(sizeof(T) == 4 ? T(3.4028234663852886e38) : T(1.7976931348623157e308));
    return x <= largest ? result : x;
}

template <class T>
RELU_LAYERS_INLINE Vec<T> log_one_plus(Vec<T> x) {
    return log_one_plus<T>(x, T(1) / (x + T(1)));
}

template <class T>
RELU_LAYERS_INLINE Vec<T> logistic(Vec<T> x) {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> e = exponential_of_negative<T>(-absolute(x));
    return (x < T(0) ? e : one) / (e + one);
}

// Minimax polynomial of degree 5 of (tanh(x) / x - 1) / x^2 in x^2, for |x| <= 0.625; relative error of tanh 6e-10.
constexpr float tanh_p[] = {-0.33333333f, 0.133333036f, -0.0539592596f, 0.0217689187f, -0.00834394552f, 0.00229274482f};

// float32: the polynomial near 0, else 1 - 2 / (exp(2|x|) + 1), where the quotient's error hardly counts.
RELU_LAYERS_INLINE f32 tanh_of_positive(f32 a) {
    const f32 limit = broadcast(10.0f);  // beyond it, 1 to the last bit
    const f32 z = a * a;
    const f32 near = fma(a * z, polynomial<float>(z, tanh_p), a);
    const f32 far = 1.0f - 2.0f / (exponential<float>(lesser_of(a, limit) * 2.0f) + 1.0f);
    return a < broadcast(0.625f) ? near : far;
}

// float64: e / (e + 2) with e = exp(2|x|) - 1.
RELU_LAYERS_INLINE f64 tanh_of_positive(f64 a) {
    const f64 limit = broadcast(20.0);
    const f64 e = exponential_minus_one<double>(lesser_of(a, limit) * 2.0);
    return e / (e + 2.0);
}

template <class T>
RELU_LAYERS_INLINE Vec<T> hyperbolic_tangent(Vec<T> x) {
    const Vec<T> a = absolute(x);
    const IntVec<T> sign = bit_cast<IntVec<T>>(x) ^ bit_cast<IntVec<T>>(a);
    return x == x ? bit_cast<Vec<T>>(bit_cast<IntVec<T>>(tanh_of_positive(a)) | sign) : x;
}

// The same functions of one number, for what is computed once per row.
template <class T>
RELU_LAYERS_INLINE T log_one_plus_scalar(T x) {
    return log_one_plus<T>(broadcast(x))[0];
}

}  // namespace
}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
