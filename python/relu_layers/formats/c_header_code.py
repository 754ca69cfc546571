"""The C functions that a written network calls: one for every kind of layer in it.

``@`` stands for the network's name, ``REAL`` for float or double, ``#`` for the suffix of the functions of
``<math.h>`` (fmaf or fma). Products follow the order of `relu_layers.ops`: blocks of 512 along the inputs, one
chain of multiply-adds in each, the blocks added in order, the bias last.
"""

from __future__ import annotations

import re

from relu_layers._files.formulas import formulas, written_as
from relu_layers.formats.c_header_dense import DENSE


def _elementwise(kind: str, code: str) -> str:
    """Return the function of an activation without settings, from the code that computes y from x."""
    formula = formulas()[kind]["plain"].format(x="x", y="y")
    return f"""
/* {formula} */
static inline void @_{kind.lower()}(REAL *values, int n)
{{
    int i;
    for (i = 0; i < n; ++i) {{
        const REAL x = values[i];
        {code}
        values[i] = y;
    }}
}}
"""


FUNCTIONS = {
    **{kind.lower(): _elementwise(kind, code) for kind, code in written_as("c").items()},
    "dense": DENSE,
    "copy": """
static inline void @_copy(const REAL *x, int n, REAL *y)
{
    int i;
    for (i = 0; i < n; ++i) y[i] = x[i];
}
""",
    "relu": """
/* 0 where x < 0, else x: NaN stays NaN. */
static inline void @_relu(REAL *x, int n)
{
    int i;
    for (i = 0; i < n; ++i) x[i] = x[i] < 0 ? 0 : x[i];
}
""",
    "leaky_relu": """
/* x where x > 0, else slope * x. */
static inline void @_leaky_relu(REAL *x, int n, REAL slope)
{
    int i;
    for (i = 0; i < n; ++i) x[i] = x[i] > 0 ? x[i] : slope * x[i];
}
""",
    "prelu": """
/* x where x > 0, else slope * x, with a slope for every x. */
static inline void @_prelu(REAL *x, int n, const REAL *slope)
{
    int i;
    for (i = 0; i < n; ++i) x[i] = x[i] > 0 ? x[i] : slope[i] * x[i];
}
""",
    "elu": """
/* x where x > 0, else alpha * (exp(x) - 1). */
static inline void @_elu(REAL *x, int n, REAL alpha)
{
    int i;
    for (i = 0; i < n; ++i) x[i] = x[i] > 0 ? x[i] : alpha * expm1#(x[i]);
}
""",
    "gelu": """
/* x times the normal distribution of x, erfc(-x / sqrt(2)) / 2; the last factor is what rounding x / sqrt(2) took. */
static inline void @_gelu(REAL *values, int n)
{
    const REAL root = (REAL)1.4142135623730951;
    const REAL rest = (REAL)(1.4142135623730951 - (double)root - 9.667293313452913e-17);
    int i;
    for (i = 0; i < n; ++i) {
        const REAL x = values[i] < -40 ? -40 : values[i];
        const REAL t = x * (REAL)-0.7071067811865476;
        const REAL lost = t > 1 ? t * root * (fma#(t, root, x) + t * rest) : 0;
        values[i] = x * (erfc#(t) / 2) * (1 + lost);
    }
}
""",
    "gelu_tanh": """
/* x / (1 + exp(-u)), u = sqrt(8 / pi) (x + 0.044715 x^3): x / 2 * (1 + tanh(u / 2)). */
static inline void @_gelu_tanh(REAL *values, int n)
{
    int i;
    for (i = 0; i < n; ++i) {
        const REAL x = values[i] < -40 ? -40 : values[i];
        const REAL u = (REAL)1.5957691216057308 * (x + (REAL)0.044715 * x * x * x);
        const REAL e = exp#(-fabs#(u));
        values[i] = x * ((u < 0 ? e : 1) / (1 + e));
    }
}
""",
    "threshold": """
/* value where x <= threshold, else x: NaN stays NaN. */
static inline void @_threshold(REAL *x, int n, REAL threshold, REAL value)
{
    int i;
    for (i = 0; i < n; ++i) x[i] = x[i] <= threshold ? value : x[i];
}
""",
    "clip": """
/* x between minimum and maximum, else the nearer of them: NaN stays NaN. */
static inline void @_clip(REAL *x, int n, REAL minimum, REAL maximum)
{
    int i;
    for (i = 0; i < n; ++i) x[i] = x[i] < minimum ? minimum : x[i] > maximum ? maximum : x[i];
}
""",
    "softmax": """
/* exp(x) / sum(exp(x)), from x - max(x), so that nothing overflows; NaN throughout where x holds NaN or +inf. */
static inline void @_softmax(REAL *x, int n)
{
    REAL maximum = x[0], sum = 0;
    int i;
    for (i = 1; i < n; ++i) maximum = x[i] > maximum ? x[i] : maximum;
    for (i = 0; i < n; ++i) {
        x[i] = exp#(x[i] - maximum);
        sum += x[i];
    }
    for (i = 0; i < n; ++i) x[i] /= sum;
}
""",
}

FORWARD = """
/* y[@U_OUTPUTS] of x[@U_INPUTS]. `work` is memory for @U_WORK numbers; nothing in it is kept between calls.
   x, y and work may not overlap. */
static inline void @_forward_in(const REAL x[@U_INPUTS], REAL y[@U_OUTPUTS], REAL work[@U_WORK])
{
STEPS}

/* The same with the work memory on the stack. */
static inline void @_forward(const REAL x[@U_INPUTS], REAL y[@U_OUTPUTS])
{
    REAL work[@U_WORK];
    @_forward_in(x, y, work);
}
"""

BATCH = """
/* `rows` rows of x to as many rows of y. */
static inline void @_forward_batch(const REAL *x, long rows, REAL *y)
{
    for (; rows > 0; --rows, x += @U_INPUTS, y += @U_OUTPUTS) @_forward(x, y);
}
"""

BATCH_BY_FOUR = """
#ifdef @U_BYTES
/* Four rows of x to four rows of y. */
static inline void @_forward_4(const REAL *x, REAL *y)
{
    REAL work[4 * @U_WORK];
STEPS}
#endif

/* `rows` rows of x to as many rows of y. */
static inline void @_forward_batch(const REAL *x, long rows, REAL *y)
{
#ifdef @U_BYTES
    for (; rows >= 4; rows -= 4, x += 4 * @U_INPUTS, y += 4 * @U_OUTPUTS) @_forward_4(x, y);
#endif
    for (; rows > 0; --rows, x += @U_INPUTS, y += @U_OUTPUTS) @_forward(x, y);
}
"""

PREDICT_INDEX = """
/* Index of the largest output; NaN counts as the largest. */
static inline int @_predict(const REAL x[@U_INPUTS])
{
    REAL y[@U_OUTPUTS];
    int best = 0, i;
    @_forward(x, y);
    for (i = 1; i < @U_OUTPUTS && !isnan(y[best]); ++i)
        if (!(y[i] <= y[best])) best = i;
    return best;
}
"""

PREDICT_YES = """
/* 1 if the output, a probability, is above one half, else 0. */
static inline int @_predict(const REAL x[@U_INPUTS])
{
    REAL y[@U_OUTPUTS];
    @_forward(x, y);
    return y[0] > HALF;
}
"""

COLUMN_FUNCTIONS = """
/* The name of a column (UTF-8), "" where there is no such column. */
static inline const char *@_column_name(int column)
{
    return column >= 0 && column < @U_COLUMNS ? @_column_names[column] : "";
}
"""

CATEGORY_FUNCTIONS = """
/* The number that stands for a text (UTF-8) in a column of categories, for @_features; -1 for a text that was not
   there in training. EMPTY */
static inline int @_category(int column, const char *text)
{
    int first = 0, i, at;
    if (column < 0 || column >= @U_COLUMNS) return -1;
    if (text[0] == 0) return @_category_filled[column];
    for (i = 0; i < column; ++i) first += @_category_counts[i];
    for (i = 0; i < @_category_counts[column]; ++i) {
        const char *known = @_category_names[first + i];
        for (at = 0; known[at] != 0 && known[at] == text[at]; ++at) {
        }
        if (known[at] == text[at]) return i;
    }
    return -1;
}
"""

FEATURES = """
/* The network's inputs from a row of the table, in the order of @_column_name: numbers as they are, categories by
   their number. MISSING
   Returns 0, or 1 + the index of the first column that holds something else; x is then of no use. */
static inline int @_features(const double row[@U_COLUMNS], REAL x[@U_INPUTS])
{
    int column, category;
    for (column = 0; column < @U_COLUMNS; ++column) {
        const int count = @_category_counts[column];
        double value = row[column];
FILL        if (count == 0) {
            *x = (REAL)((value - @_means[column]) / @_scales[column]);
            if (!isfinite(*x)) return column + 1;
            ++x;
        } else {
            if (!(value >= 0 && value < count && floor(value) >= value)) return column + 1;
            for (category = 0; category < count; ++category) *x++ = category == (int)value ? 1 : 0;
        }
    }
    return 0;
}
"""

CLASS_NAME = """
/* The class (UTF-8) that a prediction stands for, "" where there is no such class. */
static inline const char *@_class_name(int label)
{
    return label >= 0 && label < @U_CLASSES ? @_class_names[label] : "";
}
"""


def adapted(code: str, name: str, real: str) -> str:
    """Return C code for a network's name and its type, ``float`` or ``double``."""
    code = code.replace("FP_FAST_FMA#M", "FP_FAST_FMAF" if real == "float" else "FP_FAST_FMA")
    code = re.sub(r"(?<=\w)#(?=\()", "f" if real == "float" else "", code)
    code = code.replace("f~~", "f32" if real == "float" else "f64")
    code = code.replace("p~", "ps" if real == "float" else "pd")
    code = code.replace("@U", name.upper()).replace("@", name)
    code = code.replace("HALF", "0.5f" if real == "float" else "0.5")
    return re.sub(r"\bREAL\b", real, code)
