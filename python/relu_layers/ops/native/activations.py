"""Activations and dropout; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from relu_layers import _core
from relu_layers.ops.native.outputs import outputs

FloatArray = NDArray[Any]


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
    """
    return _core.relu_forward(x, negative_slope, out)


def relu_backward(
    x: FloatArray, dy: FloatArray, negative_slope: float = 0.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `relu_forward`: ``dx = negative_slope * dy`` where x <= 0, else dy.

    The kink at 0 counts as off; with slope 0, dx is +0 there whatever dy is. NaN is not off: dx is dy.
    `x` may be the result of the forward pass instead when the slope is >= 0 (in place).
    ``out=dy`` is allowed.
    """
    return _core.relu_backward(x, dy, negative_slope, out)


def threshold_forward(
    x: FloatArray, threshold: float, value: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Replace what does not exceed the threshold: ``y = value`` where x <= threshold, else x (NaN stays NaN).

    ``threshold_forward(x, e, e)`` is ``max(e, x)``. `out` may not overlap x.
    """
    return _core.threshold_forward(x, threshold, value, out)


def threshold_backward(
    x: FloatArray, dy: FloatArray, threshold: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `threshold_forward`: ``dx = 0`` where x <= threshold, else dy. ``out=dy`` is allowed."""
    return _core.threshold_backward(x, dy, threshold, out)


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
    return _core.prelu_forward(x, slope, out)


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
    return _core.prelu_backward(x, slope, dy, need_dx, *outputs("prelu_backward", out, 2))


def elu_forward(x: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None) -> FloatArray:
    """Exponential linear unit: ``y = x`` where x > 0, else ``alpha * (exp(x) - 1)``, with alpha >= 0.

    ``out=x`` is allowed.
    """
    return _core.elu_forward(x, alpha, out)


def elu_backward(
    y: FloatArray, dy: FloatArray, alpha: float = 1.0, *, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `elu_forward` from its result: ``dx = dy`` where y > 0, else ``dy * (y + alpha)``.

    ``out=dy`` is allowed.
    """
    return _core.elu_backward(y, dy, alpha, out)


def sigmoid_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Logistic function ``y = 1 / (1 + exp(-x))``, without overflow. ``out=x`` is allowed."""
    return _core.sigmoid_forward(x, out)


def sigmoid_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `sigmoid_forward` from its result: ``dx = dy * y * (1 - y)``. ``out=dy`` is allowed."""
    return _core.sigmoid_backward(y, dy, out)


def tanh_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Hyperbolic tangent ``y = tanh(x)``. ``out=x`` is allowed."""
    return _core.tanh_forward(x, out)


def tanh_backward(y: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `tanh_forward` from its result: ``dx = dy * (1 - y) * (1 + y)``. ``out=dy`` is allowed."""
    return _core.tanh_backward(y, dy, out)


def dropout_forward(
    x: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray:
    """Set each element to 0 with probability `rate`, multiply the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    x
        Array of any shape; elements are counted in C order.
    rate
        In [0, 1).
    key, counter
        64-bit unsigned integers. Element i takes word ``i % 4`` of Philox4x32-10 at counter words
        (i // 4 low, i // 4 high, counter low, counter high) under key words (key low, key high).
    out
        Array for the result, apart from x.
    """
    return _core.dropout_forward(x, rate, key, counter, out)


def dropout_backward(
    dy: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `dropout_forward` with the same rate, key and counter: the same map applied to dy.

    ``out=dy`` is allowed.
    """
    return _core.dropout_backward(dy, rate, key, counter, out)
