"""Logarithm of the softmax along one axis."""

from __future__ import annotations

from relu_layers._support.arguments import integer
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class LogSoftmax(Layer):
    """``y = x - log(sum(exp(x)))`` along ``axis``: the logarithm of `Softmax`, accurate near 0.

    Backward: ``dx = dy - exp(y) * sum(dy)``.

    Parameters
    ----------
    axis : int
        The axis of the classes.

    Notes
    -----
    For networks that come from elsewhere. One that is trained with SoftmaxCrossEntropy needs no LogSoftmax; with
    one it gives the same loss, because ``softmax(log_softmax(x)) = softmax(x)``.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = integer("LogSoftmax", "axis", axis)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return ``input_shape``, which must have the axis."""
        if not -len(input_shape) <= self.axis < len(input_shape):
            raise ValueError(f"LogSoftmax: x has shape {input_shape}, which has no axis {self.axis}")
        return input_shape

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return logarithms of probabilities, of the shape of x."""
        y: Array = self.ops.log_softmax_forward(x, self.axis, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.log_softmax_backward(self._kept(), dy, self.axis, out=out)
        self._saved = None
        return dx
