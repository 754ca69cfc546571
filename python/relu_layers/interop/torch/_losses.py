"""Losses with autograd; `relu_layers.ops` documents the functions.

The ops give loss and gradient at once, so forward computes both, and backward only scales the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function

from relu_layers import ops
from relu_layers.interop.torch._tensors import Tensor, constant, new, once, read, read_any, read_optional


class _Loss(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
    """A loss that is computed already; keeps the gradient dy of y, of which that of a target is the negative."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, target: Tensor | None, loss: float, dy: Tensor) -> Tensor:
        ctx.save_for_backward(dy)
        return torch.tensor(loss, dtype=y.dtype)

    @staticmethod
    @once
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = ctx.saved_tensors
        need_dy, need_dtarget = ctx.needs_input_grad[:2]
        return dy * dloss if need_dy else None, dy * -dloss if need_dtarget else None, None, None


class SoftmaxCrossEntropy(_Loss):
    """Named in ``grad_fn``."""


def softmax_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    axis: int = -1,
    class_weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_label: int | None = None,
    normalization: str = "valid",
) -> Tensor:
    """Cross-entropy of softmax along `axis` against labels, from log-sum-exp.

    Parameters
    ----------
    logits
        Any shape with a class axis; differentiable.
    labels
        Integers of the shape of logits without the class axis, or probabilities of the shape and dtype of logits.
    axis
        The class axis: the last, while PyTorch's own has it in place 1.
    class_weight, sample_weight
        ``(classes,)`` and ``(batch,)``, of the dtype of logits.
    label_smoothing, ignore_label, normalization
        As `relu_layers.ops.softmax_cross_entropy`; ``valid`` is PyTorch's ``reduction="mean"`` and ``none`` its
        ``"sum"``.
    """
    op = "softmax_cross_entropy"
    for name, value in (("labels", labels), ("class_weight", class_weight), ("sample_weight", sample_weight)):
        constant(op, name, value)
    loss, dlogits = ops.softmax_cross_entropy(
        read(op, "logits", logits),
        read_any(op, "labels", labels),
        axis=axis,
        class_weight=read_optional(op, "class_weight", class_weight, logits),
        sample_weight=read_optional(op, "sample_weight", sample_weight, logits),
        label_smoothing=label_smoothing,
        ignore_label=ignore_label,
        normalization=normalization,
    )
    return SoftmaxCrossEntropy.apply(logits, None, loss, new(dlogits))


class SigmoidCrossEntropy(_Loss):
    """Named in ``grad_fn``."""


def sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    sample_weight: Tensor | None = None,
    ignore_label: float | None = None,
    normalization: str = "batch_size",
) -> Tensor:
    """Cross-entropy of the logistic function against targets in [0, 1], element by element.

    ``normalization="full"`` is PyTorch's ``reduction="mean"`` and ``none`` its ``"sum"``; the default divides by
    the batch size. Differentiable in the logits alone.
    """
    op = "sigmoid_cross_entropy"
    for name, value in (("targets", targets), ("sample_weight", sample_weight)):
        constant(op, name, value)
    loss, dlogits = ops.sigmoid_cross_entropy(
        read(op, "logits", logits),
        read(op, "targets", targets, logits),
        sample_weight=read_optional(op, "sample_weight", sample_weight, logits),
        ignore_label=ignore_label,
        normalization=normalization,
    )
    return SigmoidCrossEntropy.apply(logits, None, loss, new(dlogits))


class SquaredError(_Loss):
    """Named in ``grad_fn``."""


def squared_error(
    prediction: Tensor,
    target: Tensor,
    *,
    scale: float = 1.0,
    sample_weight: Tensor | None = None,
    normalization: str = "full",
) -> Tensor:
    """Squared error ``scale * sum(w * (p - t)**2) / n``, differentiable in prediction and target.

    ``normalization="full"`` is PyTorch's ``reduction="mean"`` and ``none`` its ``"sum"``.
    """
    op = "squared_error"
    constant(op, "sample_weight", sample_weight)
    loss, dprediction = ops.squared_error(
        read(op, "prediction", prediction),
        read(op, "target", target, prediction),
        scale=scale,
        sample_weight=read_optional(op, "sample_weight", sample_weight, prediction),
        normalization=normalization,
    )
    return SquaredError.apply(prediction, target, loss, new(dprediction))


class Huber(_Loss):
    """Named in ``grad_fn``."""


def huber(
    prediction: Tensor,
    target: Tensor,
    *,
    delta: float = 1.0,
    sample_weight: Tensor | None = None,
    normalization: str = "full",
) -> Tensor:
    """Huber's loss, differentiable in prediction and target: PyTorch's ``huber_loss``.

    ``normalization="full"`` is PyTorch's ``reduction="mean"`` and ``none`` its ``"sum"``.
    """
    op = "huber"
    constant(op, "sample_weight", sample_weight)
    loss, dprediction = ops.huber(
        read(op, "prediction", prediction),
        read(op, "target", target, prediction),
        delta=delta,
        sample_weight=read_optional(op, "sample_weight", sample_weight, prediction),
        normalization=normalization,
    )
    return Huber.apply(prediction, target, loss, new(dprediction))
