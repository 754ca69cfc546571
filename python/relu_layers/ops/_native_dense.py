"""Products and sums; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from relu_layers import _core
from relu_layers.ops._native_outputs import outputs

FloatArray = NDArray[Any]


def dense_forward(
    x: FloatArray, weight: FloatArray, bias: FloatArray | None = None, *, out: FloatArray | None = None
) -> FloatArray:
    """Affine map ``y = x @ weight + bias``.

    Parameters
    ----------
    x
        ``(..., in_features)``; all leading axes together are the batch.
    weight
        ``(in_features, out_features)``.
    bias
        ``(out_features,)`` or None.
    out
        ``(..., out_features)``, apart from every input.
    """
    return _core.dense_forward(x, weight, bias, out)


def dense_backward(
    x: FloatArray,
    weight: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    out: tuple[FloatArray | None, FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray]:
    """Gradients of `dense_forward`: ``dx = dy @ weight.T``, ``dweight = x.T @ dy``, ``dbias = dy.sum(0)``.

    dx is None when not needed. All three are overwritten, never added to; None in `out` allocates that one.
    """
    return _core.dense_backward(x, weight, dy, need_dx, *outputs("dense_backward", out, 3))


def matmul(
    a: FloatArray,
    b: FloatArray,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    out: FloatArray | None = None,
) -> FloatArray:
    """Matrix product ``c = a @ b`` of matrices or broadcast stacks of them, as `numpy.matmul`.

    Parameters
    ----------
    a, b
        ``(..., m, k)`` and ``(..., k, n)``; a transposed operand comes as ``(..., k, m)`` or ``(..., n, k)``.
    accumulate
        Add the product to `out` instead of overwriting it; needs `out`.
    out
        ``(..., m, n)``, apart from a and b.
    """
    return _core.matmul(a, b, transpose_a, transpose_b, accumulate, out)
