"""Products and sums; `native` says what holds for all ops."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from relu_layers import _core
from relu_layers.ops.native.outputs import outputs

FloatArray = NDArray[Any]


def dense_forward(
    x: FloatArray,
    weight: FloatArray,
    bias: FloatArray | None = None,
    *,
    negative_slope: float | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Affine map ``y = x @ weight + bias``, perhaps through a ReLU.

    Parameters
    ----------
    x
        ``(..., in_features)``; all leading axes together are the batch.
    weight
        ``(in_features, out_features)``.
    bias
        ``(out_features,)`` or None.
    negative_slope
        None for the affine map alone; a number puts y through `relu_forward` of that slope, to the same bits.
    out
        ``(..., out_features)``, apart from every input.
    """
    return _core.dense_forward(x, weight, bias, negative_slope, out)


def dense_backward(
    x: FloatArray,
    weight: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    negative_slope: float | None = None,
    out: tuple[FloatArray | None, FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray]:
    """Gradients of `dense_forward`: ``dx = dy @ weight.T``, ``dweight = x.T @ dy``, ``dbias = dy.sum(0)``.

    dx is None when not needed. All three are overwritten, never added to; None in `out` allocates that one. With a
    `negative_slope` (>= 0), x is the output of a ReLU of that slope and dx the gradient of that ReLU's input:
    ``relu_backward(x, dy @ weight.T, negative_slope)``.
    """
    return _core.dense_backward(
        x,
        weight,
        dy,
        need_dx,
        negative_slope,
        *(out if type(out) is tuple and len(out) == 3 else outputs("dense_backward", out, 3)),
    )


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
