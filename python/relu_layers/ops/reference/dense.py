"""Matrix products: the dense layer and matmul."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers.ops.reference.activations import relu_backward, relu_forward
from relu_layers.ops.reference.arrays import (
    FloatArray,
    float_array,
    output,
    output_tuple,
    separate,
)

__all__ = [
    "dense_forward",
    "dense_backward",
    "matmul",
]

_quiet = np.errstate(all="ignore")


def _dense_arrays(op: str, x: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    x = float_array(op, "x", x)
    weight = float_array(op, "weight", weight, like=x)
    if weight.ndim != 2:
        raise ValueError(f"{op}: weight has shape {weight.shape}, expected (in_features, out_features)")
    if x.ndim == 0:
        raise ValueError(f"{op}: x has shape (), expected (batch, in_features)")
    if x.shape[-1] != weight.shape[0]:
        raise ValueError(f"{op}: x has {x.shape[-1]} columns but weight has {weight.shape[0]} rows")
    return x, weight


@_quiet
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

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> rl.ops.dense_forward(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    op = "dense_forward"
    x, weight = _dense_arrays(op, x, weight)
    features = weight.shape[1]
    if bias is not None:
        bias = float_array(op, "bias", bias, like=x, shape=(features,))
    out = output(
        op, out, (*x.shape[:-1], features), x.dtype, reads=[x, weight] if bias is None else [x, weight, bias]
    )
    out[...] = x @ weight if bias is None else x @ weight + bias
    if negative_slope is not None:
        out[...] = relu_forward(out, negative_slope)
    return out


@_quiet
def dense_backward(
    x: FloatArray,
    weight: FloatArray,
    dy: FloatArray,
    *,
    need_dx: bool = True,
    accumulate: bool = False,
    negative_slope: float | None = None,
    out: tuple[FloatArray | None, FloatArray | None, FloatArray | None] | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray]:
    """Gradients of `dense_forward`: ``dx = dy @ weight.T``, ``dweight = x.T @ dy``, ``dbias = dy.sum(0)``.

    dx is None when not needed. All three are overwritten, or with `accumulate` dweight and dbias are added to what
    ``out[1]`` and ``out[2]`` hold; otherwise None in `out` allocates that one. With a
    `negative_slope` (>= 0), x is the output of a ReLU of that slope and dx the gradient of that ReLU's input:
    ``relu_backward(x, dy @ weight.T, negative_slope)``.
    """
    op = "dense_backward"
    x, weight = _dense_arrays(op, x, weight)
    dy = float_array(op, "dy", dy, like=x, shape=(*x.shape[:-1], weight.shape[1]))
    if negative_slope is not None and not negative_slope >= 0:
        raise ValueError(f"{op}: negative_slope is {negative_slope}, expected >= 0")
    outs: tuple[Any, ...] = output_tuple(op, out, 3)
    if not need_dx and outs[0] is not None:
        raise ValueError(f"{op}: need_dx is False, so out[0] must be None")
    if accumulate and (outs[1] is None or outs[2] is None):
        raise ValueError(f"{op}: accumulate is True, so out[1] and out[2] must be the arrays to add to")
    reads = [x, weight, dy]
    dx = output(op, outs[0], x.shape, x.dtype, reads=reads, name="out[0]") if need_dx else None
    dweight = output(op, outs[1], weight.shape, x.dtype, reads=reads, name="out[1]")
    dbias = output(op, outs[2], weight.shape[1:], x.dtype, reads=reads, name="out[2]")
    separate(op, dx, dweight, dbias)
    batch = int(np.prod(x.shape[:-1]))
    rows, drows = x.reshape(batch, weight.shape[0]), dy.reshape(batch, weight.shape[1])
    if dx is not None:
        dx[...] = dy @ weight.T
        if negative_slope is not None:
            relu_backward(x, dx, negative_slope, out=dx)
    dweight[...] = dweight + rows.T @ drows if accumulate else rows.T @ drows
    dbias[...] = dbias + drows.sum(axis=0) if accumulate else drows.sum(axis=0)
    return dx, dweight, dbias


@_quiet
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
    op = "matmul"
    a = float_array(op, "a", a)
    b = float_array(op, "b", b, like=a)
    for name, operand in (("a", a), ("b", b)):
        if operand.ndim < 2:
            raise ValueError(f"{op}: {name} has shape {operand.shape}, expected at least 2 axes")
    left = np.swapaxes(a, -1, -2) if transpose_a else a
    right = np.swapaxes(b, -1, -2) if transpose_b else b
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"{op}: a has {left.shape[-1]} columns but b has {right.shape[-2]} rows (after transposing)"
        )
    try:
        stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(
            f"{op}: the stacks {left.shape[:-2]} of a and {right.shape[:-2]} of b do not broadcast"
        ) from None
    if accumulate and out is None:
        raise ValueError(f"{op}: accumulate=True needs out, the array to add to")
    c = output(op, out, (*stack, left.shape[-2], right.shape[-1]), a.dtype, reads=[a, b])
    c[...] = c + left @ right if accumulate else left @ right
    return c
