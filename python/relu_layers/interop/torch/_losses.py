"""Losses with autograd; what they compute is said in `relu_layers.ops`.

The ops give loss and gradient at once, so forward computes both, and backward only scales the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function

from relu_layers import ops
from relu_layers.interop.torch._tensors import Tensor, constant, new, once, read, read_any, read_optional


def _scalar(loss: float, like: Tensor) -> Tensor:
    return torch.tensor(loss, dtype=like.dtype)


class SoftmaxCrossEntropy(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
    """Keeps the gradient of the logits."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        class_weight: Tensor | None,
        sample_weight: Tensor | None,
        settings: dict[str, Any],
    ) -> Tensor:
        op = "softmax_cross_entropy"
        loss, dlogits = ops.softmax_cross_entropy(
            read(op, "logits", logits),
            read_any(op, "labels", labels),
            class_weight=read_optional(op, "class_weight", class_weight, logits),
            sample_weight=read_optional(op, "sample_weight", sample_weight, logits),
            **settings,
        )
        ctx.save_for_backward(new(dlogits))
        return _scalar(loss, logits)

    @staticmethod
    @once
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        (dlogits,) = ctx.saved_tensors
        return dlogits * dloss, None, None, None, None


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
    for name, value in (("labels", labels), ("class_weight", class_weight), ("sample_weight", sample_weight)):
        constant("softmax_cross_entropy", name, value)
    settings = {
        "axis": axis,
        "label_smoothing": label_smoothing,
        "ignore_label": ignore_label,
        "normalization": normalization,
    }
    return SoftmaxCrossEntropy.apply(logits, labels, class_weight, sample_weight, settings)


class SigmoidCrossEntropy(Function):  # type: ignore[misc]
    """Keeps the gradient of the logits."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, sample_weight: Tensor | None, settings: dict[str, Any]
    ) -> Tensor:
        op = "sigmoid_cross_entropy"
        loss, dlogits = ops.sigmoid_cross_entropy(
            read(op, "logits", logits),
            read(op, "targets", targets, logits),
            sample_weight=read_optional(op, "sample_weight", sample_weight, logits),
            **settings,
        )
        ctx.save_for_backward(new(dlogits))
        return _scalar(loss, logits)

    @staticmethod
    @once
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        (dlogits,) = ctx.saved_tensors
        return dlogits * dloss, None, None, None


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
    for name, value in (("targets", targets), ("sample_weight", sample_weight)):
        constant("sigmoid_cross_entropy", name, value)
    settings = {"ignore_label": ignore_label, "normalization": normalization}
    return SigmoidCrossEntropy.apply(logits, targets, sample_weight, settings)


class SquaredError(Function):  # type: ignore[misc]
    """Keeps the gradient of the prediction; that of the target is its negative."""

    @staticmethod
    def forward(
        ctx: Any, prediction: Tensor, target: Tensor, sample_weight: Tensor | None, settings: dict[str, Any]
    ) -> Tensor:
        op = "squared_error"
        loss, dprediction = ops.squared_error(
            read(op, "prediction", prediction),
            read(op, "target", target, prediction),
            sample_weight=read_optional(op, "sample_weight", sample_weight, prediction),
            **settings,
        )
        ctx.save_for_backward(new(dprediction))
        return _scalar(loss, prediction)

    @staticmethod
    @once
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        (dprediction,) = ctx.saved_tensors
        need_dprediction, need_dtarget = ctx.needs_input_grad[:2]
        return (
            dprediction * dloss if need_dprediction else None,
            dprediction * -dloss if need_dtarget else None,
            None,
            None,
        )


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
    constant("squared_error", "sample_weight", sample_weight)
    settings = {"scale": scale, "normalization": normalization}
    return SquaredError.apply(prediction, target, sample_weight, settings)
