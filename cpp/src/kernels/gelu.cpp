// Gaussian error linear unit (Hendrycks and Gimpel 2016), P the normal distribution and p its density:
//   forward   y = x * P(x);  backward  dx = dy * (P(x) + x * p(x)), from the input: two x share one y
// and its approximation of the same paper, s = 1 / (1 + exp(-u)), u = sqrt(8 / pi) * (x + 0.044715 x^3):
//   forward   y = x * s;  backward  dx = dy * s * (1 + x * (1 - s) * du/dx); x * s is x / 2 * (1 + tanh(u / 2))
// y may not be x, dx may be dy. Infinity is taken as the limit: y = -0 and dx = 0 * dy at -inf, dx = dy at +inf; for
// that x is limited to where the tails are 0 already. NaN passes through.
//
// P(-a) for a >= 0 is exp(-a^2 / 2) * r(a), so that it has its digits however small it is. r is smooth and falls like
// 1 / a: (a + k) * r(a) is a polynomial in q = (a - k) / (a + k), interpolating in Chebyshev's points, degree 10 for
// float (relative error 4e-8, its coefficients rounded), 22 for double (5e-17); the k of the smallest error.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"
#include "simd/math.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {
namespace {

template <class T>
struct Normal;

template <>
struct Normal<float> {
    static constexpr float limit = 15.0f;        // P(-limit) is 0
    static constexpr float cubic_limit = 12.0f;  // exp(-u) is 0
    static constexpr float k = 3.0f;
    static constexpr float r[] = {0.7290837f,     -0.509332f,     0.23001768f,   -0.04726276f,
                                  -0.010462289f,  0.0069699204f,  0.0010241573f, -0.0010344766f,
                                  -0.0002447093f, 0.00013332395f, 5.5491873e-05f};
};

template <>
struct Normal<double> {
    static constexpr double limit = 39.0;
    static constexpr double cubic_limit = 22.0;
    static constexpr double k = 5.0;
    static constexpr double r[] = {
        0.769193049750063,      -0.6653825028900567,    0.4953056159699764,     -0.31353315667130455,
        0.1650203661703847,     -0.06911863870631016,   0.020795066799883178,   -0.0029933767705085422,
        -0.0007978693984660701, 0.0005448990647731298,  -5.937572800991586e-05, -4.97628142705858e-05,
        1.6681213742042063e-05, 3.9809021578680414e-06, -2.76926709599743e-06,  -3.366153681012471e-07,
        4.331410356862585e-07,  4.2274993740065346e-08, -6.594221662477223e-08, -9.31356099432606e-09,
        7.66307180076004e-09,   1.753048401408232e-09,  -1.5877468827473365e-10};
};

constexpr double density_at_zero = 0.3989422804014327;  // 1 / sqrt(2 pi)
constexpr double steepness = 1.5957691216057308;        // sqrt(8 / pi)
constexpr double cubic = 0.044715;

// P(-a) for 0 <= a <= limit or NaN.
struct LowerTail {
    V exponential;  // exp(-a^2 / 2)
    V ratio;        // P(-a) / exp(-a^2 / 2)

    RELU_LAYERS_INLINE explicit LowerTail(V a) : exponential(exponential_of_negative_half_square<T>(a)) {
        const V inverse = T(1) / (a + Normal<T>::k);
        ratio = polynomial<T>((a - Normal<T>::k) * inverse, Normal<T>::r) * inverse;
    }
};

RELU_LAYERS_INLINE V cubic_of(V x) {
    const V square = x * x;
    return fma(square * x, broadcast(T(steepness * cubic)), x * T(steepness));
}

}  // namespace

void gelu_forward(const T* x, T* y, index_t n, bool streaming) {
    const V one = broadcast(T(1));
    const V limit = broadcast(Normal<T>::limit);
    map_vectors(x, y, n, streaming, [=](V v) {
        const LowerTail tail(lesser_of(limit, absolute(v)));
        const V below = tail.exponential * tail.ratio;
        return greater_of(-limit, v) * (v < T(0) ? below : one - below);
    });
}

void gelu_backward(const T* x, const T* dy, T* dx, index_t n, bool streaming) {
    const V one = broadcast(T(1));
    const V limit = broadcast(Normal<T>::limit);
    map_vectors(x, dy, dx, n, streaming, [=](V v, V g) {
        const V a = lesser_of(limit, absolute(v));
        const LowerTail tail(a);
        // P(-a) - a p(a), the derivative at -a; the one at a is what it lacks of 1.
        const V below = tail.exponential * fma(a, broadcast(T(-density_at_zero)), tail.ratio);
        return g * (v < T(0) ? below : one - below);
    });
}

void gelu_tanh_forward(const T* x, T* y, index_t n, bool streaming) {
    const V limit = broadcast(Normal<T>::cubic_limit);
    map_vectors(x, y, n, streaming, [=](V v) {
        const V raised = greater_of(-limit, v);
        return raised * logistic<T>(cubic_of(lesser_of(limit, raised)));
    });
}

void gelu_tanh_backward(const T* x, const T* dy, T* dx, index_t n, bool streaming) {
    const V one = broadcast(T(1));
    const V limit = broadcast(Normal<T>::cubic_limit);
    map_vectors(x, dy, dx, n, streaming, [=](V v, V g) {
        const V limited = lesser_of(limit, greater_of(-limit, v));
        const V e = exponential_of_negative<T>(-absolute(cubic_of(limited)));
        const V larger = one / (e + one);
        const V smaller = e * larger;
        const V s = v < T(0) ? smaller : larger;
        const V rest = v < T(0) ? larger : smaller;
        const V slope = fma(limited * limited, broadcast(T(3 * steepness * cubic)), broadcast(T(steepness)));
        return g * (s * fma(limited * slope, rest, one));
    });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
