"""The C code of a dense layer, in vectors of columns; see `c_header_code` for the signs in it.

``p~`` stands for ``ps`` or ``pd`` and ``f~~`` for ``f32`` or ``f64`` in the names of instructions.
"""

from __future__ import annotations

# Before everything else: what a dense layer computes with, as far as the flags of the compiler allow.
VECTORS = """
/* Vectors of as many columns as the instructions have that the compiler may use, and a * b + c of them. */
#if defined(__GNUC__) && defined(__AVX512F__)
#include <immintrin.h>
#define @U_BYTES 64
#define @U_ADD(x, w, sum) _mm512_fmadd_p~(_mm512_set1_p~(x), w, sum)
#elif defined(__GNUC__) && defined(__AVX__) && defined(__FMA__)
#include <immintrin.h>
#define @U_BYTES 32
#define @U_ADD(x, w, sum) _mm256_fmadd_p~(_mm256_set1_p~(x), w, sum)
#elif defined(__GNUC__) && defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define @U_BYTES 16
#define @U_ADD(x, w, sum) vfmaq_n_f~~(sum, w, x)
#elif defined(__GNUC__) && defined(__AVX__)
#define @U_BYTES 32
#define @U_ADD(x, w, sum) ((x) * (w) + (sum))
#elif defined(__GNUC__) && defined(__SSE2__)
#define @U_BYTES 16
#define @U_ADD(x, w, sum) ((x) * (w) + (sum))
#endif
/* Weights begin where a cache line does, so that few vectors lie across two. */
#ifdef @U_BYTES
#define @U_ALIGNED __attribute__((aligned(64)))
#else
#define @U_ALIGNED
#endif
"""

DENSE = """
/* a * b + c, rounded once where the processor can. */
static inline REAL @_multiply_add(REAL a, REAL b, REAL c)
{
#ifdef FP_FAST_FMA#M
    return fma#(a, b, c);
#else
    return a * b + c;
#endif
}

/* Compilers keep sums in registers only where they know how many there are. */
#ifdef __GNUC__
#define @U_INLINE static inline __attribute__((always_inline))
#else
#define @U_INLINE static inline
#endif

/* `width` <= 16 columns of a dense layer; `stride` is the number of all columns; bias may be 0. */
@U_INLINE void @_columns(const REAL *x, int inputs, const REAL *weight, int stride, const REAL *bias,
                             int width, REAL *y)
{
    REAL total[16] = {0}, sum[16];
    int begin, i, j;
    for (begin = 0; begin < inputs; begin += 512) {
        const int end = inputs - begin < 512 ? inputs : begin + 512;
        for (j = 0; j < width; ++j) sum[j] = 0;
        for (i = begin; i < end; ++i, weight += stride)
            for (j = 0; j < width; ++j) sum[j] = @_multiply_add(x[i], weight[j], sum[j]);
        for (j = 0; j < width; ++j) total[j] = begin == 0 ? sum[j] : total[j] + sum[j];
    }
    for (j = 0; j < width; ++j) y[j] = bias ? total[j] + bias[j] : total[j];
}

#ifdef @U_BYTES
typedef REAL @_vector __attribute__((vector_size(@U_BYTES)));
typedef REAL @_vector_there __attribute__((vector_size(@U_BYTES), aligned(sizeof(REAL)), may_alias));
#define @U_LANES ((int)(@U_BYTES / sizeof(REAL)))
#define @U_AT(p) (*(const @_vector_there *)(p))
/* Has a vector wait in a register, where compilers would rather load it again for each use. */
#if defined(__x86_64__) || defined(__i386__)
#define @U_KEEP(v) __asm__("" : "+x"(v))
#else
#define @U_KEEP(v) (void)0
#endif

/* The columns of one vector. */
static inline void @_one_vector(const REAL *x, int inputs, const REAL *weight, int stride, const REAL *bias, REAL *y)
{
    @_vector total = {0};
    int begin, i;
    for (begin = 0; begin < inputs; begin += 512) {
        const int end = inputs - begin < 512 ? inputs : begin + 512;
        @_vector sum = {0};
        for (i = begin; i < end; ++i, weight += stride) sum = @U_ADD(x[i], @U_AT(weight), sum);
        total = begin == 0 ? sum : total + sum;
    }
    *(@_vector_there *)y = bias ? total + @U_AT(bias) : total;
}

/* The columns of four vectors: as many sums at once as the delay of an addition hides. */
static inline void @_four_vectors(const REAL *x, int inputs, const REAL *weight, int stride, const REAL *bias, REAL *y)
{
    const int lanes = @U_LANES;
    @_vector total0 = {0}, total1 = {0}, total2 = {0}, total3 = {0};
    int begin, i;
    for (begin = 0; begin < inputs; begin += 512) {
        const int end = inputs - begin < 512 ? inputs : begin + 512;
        @_vector sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
        for (i = begin; i < end; ++i, weight += stride) {
            sum0 = @U_ADD(x[i], @U_AT(weight), sum0);
            sum1 = @U_ADD(x[i], @U_AT(weight + lanes), sum1);
            sum2 = @U_ADD(x[i], @U_AT(weight + 2 * lanes), sum2);
            sum3 = @U_ADD(x[i], @U_AT(weight + 3 * lanes), sum3);
        }
        total0 = begin == 0 ? sum0 : total0 + sum0;
        total1 = begin == 0 ? sum1 : total1 + sum1;
        total2 = begin == 0 ? sum2 : total2 + sum2;
        total3 = begin == 0 ? sum3 : total3 + sum3;
    }
    *(@_vector_there *)y = bias ? total0 + @U_AT(bias) : total0;
    *(@_vector_there *)(y + lanes) = bias ? total1 + @U_AT(bias + lanes) : total1;
    *(@_vector_there *)(y + 2 * lanes) = bias ? total2 + @U_AT(bias + 2 * lanes) : total2;
    *(@_vector_there *)(y + 3 * lanes) = bias ? total3 + @U_AT(bias + 3 * lanes) : total3;
}

/* Puts the sum of one block into y, which holds the blocks before it where `add`; bias, after the last, may be 0. */
static inline void @_put(REAL *y, @_vector sum, int add, const REAL *bias)
{
    if (add) sum = @U_AT(y) + sum;
    *(@_vector_there *)y = bias ? sum + @U_AT(bias) : sum;
}

/* The columns of one vector in four rows of x, `inputs` apart, and of y, `stride` apart. */
static inline void @_one_vector_4(const REAL *x, int inputs, const REAL *weight, int stride, const REAL *bias, REAL *y)
{
    const REAL *x1 = x + inputs, *x2 = x1 + inputs, *x3 = x2 + inputs;
    int begin, i;
    for (begin = 0; begin < inputs; begin += 512) {
        const int end = inputs - begin < 512 ? inputs : begin + 512;
        const REAL *last = end == inputs ? bias : 0;
        @_vector sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
        for (i = begin; i < end; ++i, weight += stride) {
            @_vector w = @U_AT(weight);
            @U_KEEP(w);
            sum0 = @U_ADD(x[i], w, sum0);
            sum1 = @U_ADD(x1[i], w, sum1);
            sum2 = @U_ADD(x2[i], w, sum2);
            sum3 = @U_ADD(x3[i], w, sum3);
        }
        @_put(y, sum0, begin > 0, last);
        @_put(y + stride, sum1, begin > 0, last);
        @_put(y + 2 * stride, sum2, begin > 0, last);
        @_put(y + 3 * stride, sum3, begin > 0, last);
    }
}

/* The same of two vectors: a weight is read once for four rows. */
static inline void @_two_vectors_4(const REAL *x, int inputs, const REAL *weight, int stride, const REAL *bias, REAL *y)
{
    const int lanes = @U_LANES;
    const REAL *x1 = x + inputs, *x2 = x1 + inputs, *x3 = x2 + inputs;
    int begin, i;
    for (begin = 0; begin < inputs; begin += 512) {
        const int end = inputs - begin < 512 ? inputs : begin + 512;
        const REAL *last = end == inputs ? bias : 0, *last_right = last ? last + lanes : 0;
        @_vector sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0}, right0 = {0}, right1 = {0}, right2 = {0}, right3 = {0};
        for (i = begin; i < end; ++i, weight += stride) {
            @_vector w = @U_AT(weight), right = @U_AT(weight + lanes);
            @U_KEEP(w);
            @U_KEEP(right);
            sum0 = @U_ADD(x[i], w, sum0);
            right0 = @U_ADD(x[i], right, right0);
            sum1 = @U_ADD(x1[i], w, sum1);
            right1 = @U_ADD(x1[i], right, right1);
            sum2 = @U_ADD(x2[i], w, sum2);
            right2 = @U_ADD(x2[i], right, right2);
            sum3 = @U_ADD(x3[i], w, sum3);
            right3 = @U_ADD(x3[i], right, right3);
        }
        @_put(y, sum0, begin > 0, last);
        @_put(y + lanes, right0, begin > 0, last_right);
        @_put(y + stride, sum1, begin > 0, last);
        @_put(y + stride + lanes, right1, begin > 0, last_right);
        @_put(y + 2 * stride, sum2, begin > 0, last);
        @_put(y + 2 * stride + lanes, right2, begin > 0, last_right);
        @_put(y + 3 * stride, sum3, begin > 0, last);
        @_put(y + 3 * stride + lanes, right3, begin > 0, last_right);
    }
}
#endif

/* y = x times weight, plus bias; weight is (inputs, outputs), row by row. For few outputs. */
@U_INLINE void @_dense_narrow(const REAL *x, int inputs, const REAL *weight, const REAL *bias, int outputs, REAL *y)
{
    int first = 0;
#ifdef @U_BYTES
    for (; outputs - first >= 4 * @U_LANES; first += 4 * @U_LANES)
        @_four_vectors(x, inputs, weight + first, outputs, bias ? bias + first : bias, y + first);
    while (first < outputs && outputs >= @U_LANES) {
        /* The last vector ends with the last column: what it has in common with the one before comes out the same. */
        if (first > outputs - @U_LANES) first = outputs - @U_LANES;
        @_one_vector(x, inputs, weight + first, outputs, bias ? bias + first : bias, y + first);
        first += @U_LANES;
    }
#endif
    for (; outputs - first >= 16; first += 16)
        @_columns(x, inputs, weight + first, outputs, bias ? bias + first : bias, 16, y + first);
    if (first < outputs)
        @_columns(x, inputs, weight + first, outputs, bias ? bias + first : bias, outputs - first, y + first);
}

/* The same for any number, one copy for all layers. */
static inline void @_dense(const REAL *x, int inputs, const REAL *weight, const REAL *bias, int outputs, REAL *y)
{
    @_dense_narrow(x, inputs, weight, bias, outputs, y);
}

#ifdef @U_BYTES
/* The same of four rows of x, where columns are fewer than a vector has: the four sums of one after another. */
static inline void @_narrow_4(const REAL *x, int inputs, const REAL *weight, const REAL *bias, int outputs, REAL *y)
{
    const REAL *x1 = x + inputs, *x2 = x1 + inputs, *x3 = x2 + inputs;
    int begin, i, j;
    for (j = 0; j < outputs; ++j) {
        REAL total0 = 0, total1 = 0, total2 = 0, total3 = 0;
        for (begin = 0; begin < inputs; begin += 512) {
            const int end = inputs - begin < 512 ? inputs : begin + 512;
            REAL sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
            for (i = begin; i < end; ++i) {
                const REAL w = weight[i * outputs + j];
                sum0 = @_multiply_add(x[i], w, sum0);
                sum1 = @_multiply_add(x1[i], w, sum1);
                sum2 = @_multiply_add(x2[i], w, sum2);
                sum3 = @_multiply_add(x3[i], w, sum3);
            }
            total0 = begin == 0 ? sum0 : total0 + sum0;
            total1 = begin == 0 ? sum1 : total1 + sum1;
            total2 = begin == 0 ? sum2 : total2 + sum2;
            total3 = begin == 0 ? sum3 : total3 + sum3;
        }
        y[j] = bias ? total0 + bias[j] : total0;
        y[outputs + j] = bias ? total1 + bias[j] : total1;
        y[2 * outputs + j] = bias ? total2 + bias[j] : total2;
        y[3 * outputs + j] = bias ? total3 + bias[j] : total3;
    }
}

/* Puts the sums of one block of three columns into y, which holds the blocks before it where `add`. */
static inline void @_put_3(REAL *y, REAL a, REAL b, REAL c, int add, const REAL *bias)
{
    if (add) a = y[0] + a, b = y[1] + b, c = y[2] + c;
    if (bias) a += bias[0], b += bias[1], c += bias[2];
    y[0] = a;
    y[1] = b;
    y[2] = c;
}

/* Three of such columns: twelve sums at once, as many as the delay of an addition hides. */
static inline void @_three_columns_4(const REAL *x, int inputs, const REAL *weight, const REAL *bias, int outputs,
                                     REAL *y)
{
    const REAL *x1 = x + inputs, *x2 = x1 + inputs, *x3 = x2 + inputs;
    int begin, i;
    for (begin = 0; begin < inputs; begin += 512) {
        const int end = inputs - begin < 512 ? inputs : begin + 512;
        const REAL *last = end == inputs ? bias : 0;
        REAL a0 = 0, a1 = 0, a2 = 0, a3 = 0;
        REAL b0 = 0, b1 = 0, b2 = 0, b3 = 0;
        REAL c0 = 0, c1 = 0, c2 = 0, c3 = 0;
        for (i = begin; i < end; ++i, weight += outputs) {
            const REAL left = weight[0], middle = weight[1], right = weight[2];
            a0 = @_multiply_add(x[i], left, a0);
            b0 = @_multiply_add(x[i], middle, b0);
            c0 = @_multiply_add(x[i], right, c0);
            a1 = @_multiply_add(x1[i], left, a1);
            b1 = @_multiply_add(x1[i], middle, b1);
            c1 = @_multiply_add(x1[i], right, c1);
            a2 = @_multiply_add(x2[i], left, a2);
            b2 = @_multiply_add(x2[i], middle, b2);
            c2 = @_multiply_add(x2[i], right, c2);
            a3 = @_multiply_add(x3[i], left, a3);
            b3 = @_multiply_add(x3[i], middle, b3);
            c3 = @_multiply_add(x3[i], right, c3);
        }
        @_put_3(y, a0, b0, c0, begin > 0, last);
        @_put_3(y + outputs, a1, b1, c1, begin > 0, last);
        @_put_3(y + 2 * outputs, a2, b2, c2, begin > 0, last);
        @_put_3(y + 3 * outputs, a3, b3, c3, begin > 0, last);
    }
}

/* Four rows of x to four rows of y. */
static inline void @_dense_4(const REAL *x, int inputs, const REAL *weight, const REAL *bias, int outputs, REAL *y)
{
    int first = 0;
    for (; outputs - first >= 2 * @U_LANES; first += 2 * @U_LANES)
        @_two_vectors_4(x, inputs, weight + first, outputs, bias ? bias + first : bias, y + first);
    for (; first < outputs && outputs >= @U_LANES; first += @U_LANES) {
        /* As in @_dense_narrow; the columns in common are computed from the beginning again. */
        if (first > outputs - @U_LANES) first = outputs - @U_LANES;
        @_one_vector_4(x, inputs, weight + first, outputs, bias ? bias + first : bias, y + first);
    }
    if (first < outputs && outputs < 3) @_narrow_4(x, inputs, weight, bias, outputs, y);
    while (first < outputs && outputs >= 3) {
        if (first > outputs - 3) first = outputs - 3;
        @_three_columns_4(x, inputs, weight + first, bias ? bias + first : bias, outputs, y + first);
        first += 3;
    }
}
#endif
"""
