"""Products with autograd; `relu_layers.ops` documents the functions."""

from __future__ import annotations

from typing import Any

from torch.autograd import Function

from relu_layers import ops
from relu_layers._support.configured import Array
from relu_layers.interop.torch._tensors import Tensor, new, once, read, read_optional, view


class Dense(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
    """Keeps x and the weight, which is (out_features, in_features) if it is transposed."""

    @staticmethod
    def forward(
        ctx: Any, op: str, x: Tensor, weight: Tensor, bias: Tensor | None, transposed: bool
    ) -> Tensor:
        inputs, matrix = read(op, "x", x), read(op, "weight", weight, x)
        y = ops.dense_forward(inputs, matrix.T if transposed else matrix, read_optional(op, "bias", bias, x))
        ctx.save_for_backward(x, weight)
        ctx.transposed = transposed
        return new(y)

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = map(view, ctx.saved_tensors)
        needed = ctx.needs_input_grad[1:4]
        dx, dweight, dbias = _gradients(x, weight.T if ctx.transposed else weight, view(dy), needed)
        if ctx.transposed and dweight is not None:
            dweight = dweight.T
        return None, dx, dweight, dbias, None


class Linear(Dense):
    """Named in ``grad_fn``."""


def _gradients(x: Array, weight: Array, dy: Array, needed: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    """Return the gradients that are needed of x, the weight in its (in, out) layout, and the bias."""
    need_dx, need_dweight, need_dbias = needed
    if not (need_dweight or need_dbias):
        return new(ops.dense_forward(dy, weight.T)), None, None
    dx, dweight, dbias = ops.dense_backward(x, weight, dy, need_dx=need_dx)
    return (
        None if dx is None else new(dx),
        new(dweight) if need_dweight else None,
        new(dbias) if need_dbias else None,
    )


def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Affine map ``y = x @ weight + bias``, in this package's layout.

    Parameters
    ----------
    x
        ``(..., in_features)``.
    weight
        ``(in_features, out_features)``.
    bias
        ``(out_features,)`` or None.
    """
    return Dense.apply("dense", x, weight, bias, False)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Affine map ``y = x @ weight.T + bias``, in PyTorch's layout.

    Parameters
    ----------
    x
        ``(..., in_features)``.
    weight
        ``(out_features, in_features)``, read where it is.
    bias
        ``(out_features,)`` or None.
    """
    columns: Any = tuple(getattr(weight, "shape", ()))[1:]
    if len(columns) == 1 and getattr(x, "ndim", 0) > 0 and x.shape[-1] != columns[0]:
        raise ValueError(
            f"linear: x has {x.shape[-1]} columns but weight has {columns[0]}: weight is (out_features, in_features), "
            "for (in_features, out_features) call dense"
        )
    return Linear.apply("linear", x, weight, bias, True)


class Matmul(Function):  # type: ignore[misc]
    """Keeps both factors."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
        c = ops.matmul(
            read("matmul", "a", a),
            read("matmul", "b", b, a),
            transpose_a=transpose_a,
            transpose_b=transpose_b,
        )
        ctx.save_for_backward(a, b)
        ctx.transposed = transpose_a, transpose_b
        return new(c)

    @staticmethod
    @once
    def backward(ctx: Any, dc: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        transpose_a, transpose_b = ctx.transposed
        da = db = None
        if ctx.needs_input_grad[0]:
            # c = op(a) @ op(b) gives d op(a) = dc @ op(b).T, and its transpose for a transposed a.
            if transpose_a:
                product = ops.matmul(view(b), view(dc), transpose_a=transpose_b, transpose_b=True)
            else:
                product = ops.matmul(view(dc), view(b), transpose_b=not transpose_b)
            da = new(product).sum_to_size(a.shape)
        if ctx.needs_input_grad[1]:
            if transpose_b:
                product = ops.matmul(view(dc), view(a), transpose_a=True, transpose_b=transpose_a)
            else:
                product = ops.matmul(view(a), view(dc), transpose_a=not transpose_a)
            db = new(product).sum_to_size(b.shape)
        return da, db, None, None


def matmul(a: Tensor, b: Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """Matrix product ``c = a @ b`` of matrices or broadcast stacks of them.

    Parameters
    ----------
    a, b
        ``(..., m, k)`` and ``(..., k, n)``; a transposed operand comes as ``(..., k, m)`` or ``(..., n, k)``.
    """
    return Matmul.apply(a, b, transpose_a, transpose_b)
