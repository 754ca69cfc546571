"""Softmax and its logarithm along any axis, forward beside backward.

A row with NaN or +inf, or of nothing but -inf, has no softmax: it is NaN throughout, other rows do not
notice. A single -inf among finite values has probability 0.
"""

from __future__ import annotations

import numpy as np

from relu_layers.ops.reference.arrays import FloatArray, class_axis, float_array, output

__all__ = [
    "softmax_forward",
    "softmax_backward",
    "log_softmax_forward",
    "log_softmax_backward",
]

_quiet = np.errstate(all="ignore")


def shifted_row_terms(rows: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Split softmax along the last axis into terms that neither overflow nor cancel.

    Returns
    -------
    shifted
        ``rows - max``, at most 0.
    exponentials
        ``exp(shifted)``.
    others
        Sum of the exponentials without the (first) maximum, last axis kept with length 1: the whole sum is
        ``1 + others``, and its logarithm ``log1p(others)`` keeps its relative accuracy when the maximum
        dominates. NaN for a row that has no softmax.
    """
    maximum = rows.max(axis=-1, keepdims=True)
    shifted = rows - maximum
    exponentials = np.exp(shifted)
    without_maximum = exponentials.copy()
    np.put_along_axis(without_maximum, rows.argmax(axis=-1)[..., np.newaxis], 0, axis=-1)
    others = without_maximum.sum(axis=-1, keepdims=True)
    others[~np.isfinite(maximum)] = np.nan
    return shifted, exponentials, others


@_quiet
def softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray:
    """Softmax ``y = exp(x) / sum(exp(x))`` along `axis`, from ``x - max(x)``. ``out=x`` is allowed."""
    x = float_array("softmax_forward", "x", x)
    axis = class_axis("softmax_forward", "x", x, axis)
    out = output("softmax_forward", out, x.shape, x.dtype, may_alias=[x])
    if x.size:
        _, exponentials, others = shifted_row_terms(np.moveaxis(x, axis, -1))
        np.moveaxis(out, axis, -1)[...] = exponentials / (1 + others)
    return out


@_quiet
def softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray:
    """Jacobian-vector product of `softmax_forward` from its result: ``dx = y * (dy - sum(dy * y))``.

    ``out=dy`` is allowed.
    """
    y = float_array("softmax_backward", "y", y)
    dy = float_array("softmax_backward", "dy", dy, like=y, shape=y.shape)
    axis = class_axis("softmax_backward", "y", y, axis)
    out = output("softmax_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = y * (dy - (dy * y).sum(axis=axis, keepdims=True))
    return out


@_quiet
def log_softmax_forward(x: FloatArray, axis: int = -1, *, out: FloatArray | None = None) -> FloatArray:
    """Logarithm of softmax, ``y = x - max - log1p(sum of the other exponentials)``.

    The form keeps relative accuracy where y is near 0. ``out=x`` is allowed.
    """
    x = float_array("log_softmax_forward", "x", x)
    axis = class_axis("log_softmax_forward", "x", x, axis)
    out = output("log_softmax_forward", out, x.shape, x.dtype, may_alias=[x])
    if x.size:
        shifted, _, others = shifted_row_terms(np.moveaxis(x, axis, -1))
        np.moveaxis(out, axis, -1)[...] = shifted - np.log1p(others)
    return out


@_quiet
def log_softmax_backward(
    y: FloatArray, dy: FloatArray, axis: int = -1, *, out: FloatArray | None = None
) -> FloatArray:
    """Jacobian-vector product of `log_softmax_forward` from its result: ``dx = dy - exp(y) * sum(dy)``.

    ``out=dy`` is allowed.
    """
    y = float_array("log_softmax_backward", "y", y)
    dy = float_array("log_softmax_backward", "dy", dy, like=y, shape=y.shape)
    axis = class_axis("log_softmax_backward", "y", y, axis)
    out = output("log_softmax_backward", out, y.shape, y.dtype, reads=[y], may_alias=[dy])
    out[...] = dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)
    return out
