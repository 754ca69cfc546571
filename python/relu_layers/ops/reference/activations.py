"""Elementwise activations, forward beside backward.

Every backward is a select, never a multiplication by a mask: where a unit is off, dx is 0 even when dy is
infinite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers.ops.reference.arrays import (
    FloatArray,
    float_array,
    output,
    output_tuple,
    same_memory,
    separate,
)

__all__ = [
    "relu_forward",
    "relu_backward",
    "threshold_forward",
    "threshold_backward",
    "prelu_forward",
    "prelu_backward",
    "elu_forward",
    "elu_backward",
    "sigmoid_forward",
    "sigmoid_backward",
    "silu_forward",
    "silu_backward",
    "gelu_forward",
    "gelu_backward",
    "clip_forward",
    "clip_backward",
    "selu_forward",
    "selu_backward",
    "softplus_forward",
    "softplus_backward",
    "tanh_forward",
    "tanh_backward",
]

_quiet = np.errstate(all="ignore")


@_quiet
def relu_forward(x: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None) -> FloatArray:
    """Rectify: ``y = x`` where x > 0, else ``negative_slope * x``.

    With slope 0, y is +0 for x < 0, and x for 0, -0 and NaN.

    Parameters
    ----------
    x
        Array of any shape, float32 or float64.
    negative_slope
        Slope for x <= 0. With ``out=x`` it must be >= 0, because backward then reads the sign of x off y.
    out
        Array for the result; x itself is allowed.

    Notes
    -----
    Equal to Caffe's ``max(x, 0) + slope * min(x, 0)`` for every finite x. At x = -inf with slope 0, y is 0.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> x = np.array([-2.0, 0.0, 3.0])
    >>> rl.ops.relu_forward(x)
    array([0., 0., 3.])
    >>> rl.ops.relu_forward(x, 0.1, out=x) is x
    True
    """
    x = float_array("relu_forward", "x", x)
    out = output("relu_forward", out, x.shape, x.dtype, may_alias=[x])
    if same_memory(x, out) and not negative_slope >= 0:
        raise ValueError(
            f"relu_forward: negative_slope is {negative_slope} and out is x: in place the sign of y would not "
            "tell the sign of x any more, and the gradient would be wrong; pass another out"
        )
    if negative_slope == 0:
        out[...] = np.where(x < 0, x.dtype.type(0), x)
    else:
        out[...] = np.where(x > 0, x, x * negative_slope)
    return out


@_quiet
def relu_backward(
    x: FloatArray, dy: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `relu_forward`: ``dx = negative_slope * dy`` where x <= 0, else dy.

    The kink at 0 counts as off; with slope 0, dx is +0 there whatever dy is. NaN is not off: dx is dy.
    `x` may be the result of the forward pass instead when the slope is >= 0 (in place).
    ``out=dy`` is allowed.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> x, dy = np.array([-2.0, 0.0, 3.0]), np.array([5.0, 5.0, 5.0])
    >>> rl.ops.relu_backward(x, dy)
    array([0., 0., 5.])
    >>> rl.ops.relu_backward(x, dy, 0.1)
    array([0.5, 0.5, 5. ])
    """
    x = float_array("relu_backward", "x", x)
    dy = float_array("relu_backward", "dy", dy, like=x, shape=x.shape)
    out = output("relu_backward", out, x.shape, x.dtype, reads=[x], may_alias=[dy])
    below = dy * negative_slope if negative_slope != 0 else x.dtype.type(0)
    out[...] = np.where(x <= 0, below, dy)
    return out


@_quiet
def threshold_forward(
    x: FloatArray, threshold: float, value: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Replace what does not exceed the threshold: ``y = value`` where x <= threshold, else x (NaN stays NaN).

    ``threshold_forward(x, e, e)`` is ``max(e, x)``. `out` may not overlap x.
    """
    x = float_array("threshold_forward", "x", x)
    out = output("threshold_forward", out, x.shape, x.dtype, reads=[x])
    out[...] = np.where(x <= threshold, x.dtype.type(value), x)
    return out


@_quiet
def threshold_backward(
    x: FloatArray, dy: FloatArray, threshold: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `threshold_forward`: ``dx = 0`` where x <= threshold, else dy. ``out=dy`` is allowed."""
    x = float_array("threshold_backward", "x", x)
    dy = float_array("threshold_backward", "dy", dy, like=x, shape=x.shape)
    out = output("threshold_backward", out, x.shape, x.dtype, reads=[x], may_alias=[dy])
    out[...] = np.where(x <= threshold, x.dtype.type(0), dy)
    return out


def _prelu_arrays(op: str, x: FloatArray, slope: FloatArray) -> tuple[FloatArray, FloatArray]:
    x = float_array(op, "x", x)
    slope = float_array(op, "slope", slope, like=x)
    if slope.ndim != 1:
        raise ValueError(f"{op}: slope has shape {slope.shape}, expected (features,) or (1,)")
    if slope.shape[0] != 1 and (x.ndim == 0 or x.shape[-1] != slope.shape[0]):
        raise ValueError(
            f"{op}: x has shape {x.shape} but slope has {slope.shape[0]} features, expected on the last axis"
        )
    return x, slope


@_quiet
def prelu_forward(x: FloatArray, slope: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Rectify with learned slopes: ``y = x`` where x > 0, else ``slope * x``.

    Parameters
    ----------
    x
        ``(..., features)``.
    slope
        ``(features,)``, or ``(1,)`` for one slope shared by all features.
    out
        Array for the result; it may not overlap x, whose values backward needs.
    """
    x, slope = _prelu_arrays("prelu_forward", x, slope)
    out = output("prelu_forward", out, x.shape, x.dtype, reads=[x, slope])
    out[...] = np.where(x > 0, x, x * (slope[0] if slope.size == 1 else slope))
    return out


@_quiet
def prelu_backward(
    x: FloatArray,
    slope: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    out: tuple[FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray]:
    """Gradients of `prelu_forward`: ``dx = slope * dy`` where x <= 0, else dy.

    dslope is the sum of ``x * dy`` where x is not > 0, over all rows, and over the features too for a shared
    slope. dx is None when not needed; dx may be dy.
    """
    op = "prelu_backward"
    x, slope = _prelu_arrays(op, x, slope)
    dy = float_array(op, "dy", dy, like=x, shape=x.shape)
    outs: tuple[Any, ...] = output_tuple(op, out, 2)
    if not need_dx and outs[0] is not None:
        raise ValueError(f"{op}: need_dx is False, so out[0] must be None")
    dx = (
        output(op, outs[0], x.shape, x.dtype, reads=[x, slope], may_alias=[dy], name="out[0]")
        if need_dx
        else None
    )
    dslope = output(op, outs[1], slope.shape, x.dtype, reads=[x, slope, dy], name="out[1]")
    separate(op, dx, dslope)
    off = np.where(x > 0, x.dtype.type(0), x * dy)
    dslope[...] = off.sum() if slope.size == 1 else off.reshape(-1, slope.size).sum(axis=0)
    if dx is not None:
        dx[...] = np.where(x <= 0, dy * (slope[0] if slope.size == 1 else slope), dy)
    return dx, dslope


def _check_alpha(op: str, alpha: float) -> None:
    if not alpha >= 0:
        raise ValueError(f"{op}: alpha is {alpha}, expected >= 0: backward reads the sign of x off y")


@_quiet
def elu_forward(x: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None) -> FloatArray:
    """Exponential linear unit: ``y = x`` where x > 0, else ``alpha * (exp(x) - 1)``, with alpha >= 0.

    ``out=x`` is allowed.
    """
    x = float_array("elu_forward", "x", x)
    _check_alpha("elu_forward", alpha)
    out = output("elu_forward", out, x.shape, x.dtype, may_alias=[x])
    out[...] = np.where(x > 0, x, alpha * np.expm1(x))
    return out


@_quiet
def elu_backward(
    y: FloatArray, dy: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `elu_forward` from its result: ``dx = dy`` where y > 0, else ``dy * (y + alpha)``.

    ``out=dy`` is allowed.
    """
    y = float_array("elu_backward", "y", y)
    dy = float_array("elu_backward", "dy", dy, like=y, shape=y.shape)
    _check_alpha("elu_backward", alpha)
    out = output("elu_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = np.where(y > 0, dy, dy * (y + alpha))
    return out


@_quiet
def sigmoid_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Logistic function ``y = 1 / (1 + exp(-x))``, without overflow. ``out=x`` is allowed."""
    x = float_array("sigmoid_forward", "x", x)
    out = output("sigmoid_forward", out, x.shape, x.dtype, may_alias=[x])
    e = np.exp(-np.abs(x))
    out[...] = np.where(x < 0, e, x.dtype.type(1)) / (1 + e)
    return out


@_quiet
def sigmoid_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `sigmoid_forward` from its result: ``dx = dy * y * (1 - y)``. ``out=dy`` is allowed."""
    y = float_array("sigmoid_backward", "y", y)
    dy = float_array("sigmoid_backward", "dy", dy, like=y, shape=y.shape)
    out = output("sigmoid_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = dy * (y * (1 - y))
    return out


@_quiet
def silu_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Sigmoid linear unit ``y = x * sigmoid(x)``, -0 at -inf. `out` may not overlap x."""
    x = float_array("silu_forward", "x", x)
    out = output("silu_forward", out, x.shape, x.dtype, reads=[x])
    out[...] = np.maximum(x, np.finfo(x.dtype).min) * sigmoid_forward(x)
    return out


@_quiet
def silu_backward(x: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `silu_forward`: ``dx = dy * s * (1 + x * (1 - s))`` with ``s = sigmoid(x)``.

    At infinity the factor of dy is its limit, 1 or -0. ``out=dy`` is allowed.
    """
    x = float_array("silu_backward", "x", x)
    dy = float_array("silu_backward", "dy", dy, like=x, shape=x.shape)
    out = output("silu_backward", out, x.shape, x.dtype, reads=[x], may_alias=[dy])
    finite = np.clip(x, np.finfo(x.dtype).min, np.finfo(x.dtype).max)
    out[...] = dy * (sigmoid_forward(x) * (1 + finite * sigmoid_forward(np.asarray(-x))))
    return out


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _is_tanh_form(op: str, approximate: str) -> bool:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"{op}: approximate is {approximate!r}, expected 'none' or 'tanh'")
    return approximate == "tanh"


def _tanh_form_argument(x: Any) -> Any:
    """Return u of 1 / (1 + exp(-u)), which is (1 + tanh(u / 2)) / 2."""
    return math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)


@_quiet
def gelu_forward(x: FloatArray, approximate: str = "none", *, out: FloatArray | None = None) -> FloatArray:
    """Gaussian error linear unit ``y = x * P(x)``, P the normal distribution; -0 at -inf.

    Parameters
    ----------
    x
        Array of any shape, float32 or float64.
    approximate
        ``"none"``: P(x) is (1 + erf(x / sqrt(2))) / 2. ``"tanh"``: P(x) is replaced by (1 + tanh(u)) / 2 with
        ``u = sqrt(2 / pi) * (x + 0.044715 x^3)``.
    out
        Array for the result; it may not overlap x, whose values backward needs.
    """
    x = float_array("gelu_forward", "x", x)
    tanh_form = _is_tanh_form("gelu_forward", approximate)
    out = output("gelu_forward", out, x.shape, x.dtype, reads=[x])
    wide = np.maximum(x, np.finfo(x.dtype).min).astype(np.float64)
    if tanh_form:
        out[...] = wide * sigmoid_forward(np.asarray(_tanh_form_argument(np.clip(wide, -1e3, 1e3))))
    else:
        out[...] = wide * (_erfc(-wide / math.sqrt(2)) / 2)
    return out


@_quiet
def gelu_backward(
    x: FloatArray, dy: FloatArray, approximate: str = "none", *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `gelu_forward`: ``dx = dy * (P(x) + x * p(x))``, p the density of P, or of what replaces it.

    At infinity the factor of dy is its limit, 1 or 0. ``out=dy`` is allowed.
    """
    x = float_array("gelu_backward", "x", x)
    dy = float_array("gelu_backward", "dy", dy, like=x, shape=x.shape)
    tanh_form = _is_tanh_form("gelu_backward", approximate)
    out = output("gelu_backward", out, x.shape, x.dtype, reads=[x], may_alias=[dy])
    wide = np.clip(x.astype(np.float64), -1e3, 1e3)  # p is 0 there
    if tanh_form:
        u = np.asarray(_tanh_form_argument(wide))
        steepness = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * wide**2)
        factor = sigmoid_forward(u) * (1 + wide * sigmoid_forward(np.asarray(-u)) * steepness)
    else:
        magnitude = np.abs(wide)
        density = np.exp(-(magnitude**2) / 2) / math.sqrt(2 * math.pi)
        below = _erfc(magnitude / math.sqrt(2)) / 2 - magnitude * density
        factor = np.where(wide < 0, below, 1 - below)
    out[...] = dy * factor.astype(x.dtype)
    return out


def _check_limits(op: str, minimum: float, maximum: float) -> None:
    if not minimum < maximum:
        raise ValueError(f"{op}: minimum is {minimum} and maximum {maximum}, expected minimum < maximum")


@_quiet
def clip_forward(
    x: FloatArray, minimum: float = 0.0, maximum: float = 6.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Clipped ReLU: ``y = x`` between `minimum` and `maximum`, else the nearer of them; NaN stays NaN.

    ``out=x`` is allowed.
    """
    x = float_array("clip_forward", "x", x)
    _check_limits("clip_forward", minimum, maximum)
    out = output("clip_forward", out, x.shape, x.dtype, may_alias=[x])
    out[...] = np.where(x < x.dtype.type(minimum), minimum, np.where(x > x.dtype.type(maximum), maximum, x))
    return out


@_quiet
def clip_backward(
    y: FloatArray,
    dy: FloatArray,
    minimum: float = 0.0,
    maximum: float = 6.0,
    *,
    out: FloatArray | None = None,
) -> FloatArray:
    """Gradient of `clip_forward` from its result: ``dx = 0`` where y <= minimum or y >= maximum, else dy.

    ``out=dy`` is allowed.
    """
    y = float_array("clip_backward", "y", y)
    dy = float_array("clip_backward", "dy", dy, like=y, shape=y.shape)
    _check_limits("clip_backward", minimum, maximum)
    out = output("clip_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = np.where((y <= y.dtype.type(minimum)) | (y >= y.dtype.type(maximum)), 0, dy)
    return out


# Scale and scale * alpha of SELU (Klambauer et al. 2017), for all of the package; the kernel has its own.
SELU_SCALE, SELU_LOWEST = 1.0507009873554805, 1.7580993408473766


@_quiet
def selu_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Scaled ELU: ``y = s * x`` where x > 0, else ``s * a * (exp(x) - 1)``; s = 1.0507..., a = 1.6732...

    ``out=x`` is allowed.
    """
    x = float_array("selu_forward", "x", x)
    out = output("selu_forward", out, x.shape, x.dtype, may_alias=[x])
    out[...] = np.where(x > 0, SELU_SCALE * x, SELU_LOWEST * np.expm1(x))
    return out


@_quiet
def selu_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `selu_forward` from its result: ``dx = s * dy`` where y > 0, else ``dy * (y + s * a)``.

    ``out=dy`` is allowed.
    """
    y = float_array("selu_backward", "y", y)
    dy = float_array("selu_backward", "dy", dy, like=y, shape=y.shape)
    out = output("selu_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = np.where(y > 0, SELU_SCALE * dy, dy * (y + SELU_LOWEST))
    return out


@_quiet
def softplus_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Softplus ``y = log(1 + exp(x))``, without overflow. ``out=x`` is allowed."""
    x = float_array("softplus_forward", "x", x)
    out = output("softplus_forward", out, x.shape, x.dtype, may_alias=[x])
    rest = np.log1p(np.exp(-np.abs(x)))
    out[...] = np.where(x > 0, x + rest, rest)
    return out


@_quiet
def softplus_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `softplus_forward` from its result: ``dx = dy * (1 - exp(-y))``. ``out=dy`` is allowed."""
    y = float_array("softplus_backward", "y", y)
    dy = float_array("softplus_backward", "dy", dy, like=y, shape=y.shape)
    out = output("softplus_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = dy * -np.expm1(-np.where(y < 0, 0, y))
    return out


@_quiet
def tanh_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Hyperbolic tangent ``y = tanh(x)``. ``out=x`` is allowed."""
    x = float_array("tanh_forward", "x", x)
    out = output("tanh_forward", out, x.shape, x.dtype, may_alias=[x])
    out[...] = np.tanh(x)
    return out


@_quiet
def tanh_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `tanh_forward` from its result: ``dx = dy * (1 - y) * (1 + y)``. ``out=dy`` is allowed."""
    y = float_array("tanh_backward", "y", y)
    dy = float_array("tanh_backward", "dy", dy, like=y, shape=y.shape)
    out = output("tanh_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = dy * ((1 - y) * (1 + y))
    return out
