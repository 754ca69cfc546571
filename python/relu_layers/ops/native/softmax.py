"""Softmax and log-softmax; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from relu_layers import _core

FloatArray = NDArray[Any]


def softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray:
    """Softmax ``y = exp(x) / sum(exp(x))`` along `axis`, from ``x - max(x)``. ``out=x`` is allowed."""
    return _core.softmax_forward(x, axis, out)


def softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray:
    """Jacobian-vector product of `softmax_forward` from its result: ``dx = y * (dy - sum(dy * y))``.

    ``out=dy`` is allowed.
    """
    return _core.softmax_backward(y, dy, axis, out)


def log_softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray:
    """Logarithm of softmax, ``y = x - max - log1p(sum of the other exponentials)``.

    The form keeps relative accuracy where y is near 0. ``out=x`` is allowed.
    """
    return _core.log_softmax_forward(x, axis, out)


def log_softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray:
    """Jacobian-vector product of `log_softmax_forward` from its result: ``dx = dy - exp(y) * sum(dy)``.

    ``out=dy`` is allowed.
    """
    return _core.log_softmax_backward(y, dy, axis, out)
