"""Softmax along one axis."""

from __future__ import annotations

from relu_layers._support.arguments import integer
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Softmax(Layer):
    """``y = exp(x - max) / sum(exp(x - max))`` along ``axis``.

    Backward: ``dx = y * (dy - sum(y * dy))``, the true Jacobian-vector product.

    With SoftmaxCrossEntropy a final ``Softmax(axis=-1)`` is left out of training and evaluation, which work
    on the logits before it (see `relu_layers.losses.training_depth`).

    Parameters
    ----------
    axis : int
        The axis of the classes.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = integer("Softmax", "axis", axis)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return ``input_shape``, which must have the axis."""
        if not -len(input_shape) <= self.axis < len(input_shape):
            raise ValueError(f"Softmax: x has shape {input_shape}, which has no axis {self.axis}")
        return input_shape

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return probabilities of the shape of x."""
        y: Array = self.ops.softmax_forward(x, self.axis, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.softmax_backward(self._kept(), dy, self.axis, out=out)
        self._saved = None
        return dx
