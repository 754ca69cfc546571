"""Threshold: x above a threshold, a constant elsewhere."""

from __future__ import annotations

from relu_layers._support.arguments import real
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Threshold(Layer):
    """``y = x if x > threshold else value`` with ``dx = dy if x > threshold else 0``.

    ``Threshold(e, e)`` is ``max(e, x)``; ``Threshold(0, 0)`` is ReLU.

    Parameters
    ----------
    threshold : float
        Inputs above it pass unchanged.
    value : float
        Output for all others.
    """

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold = real("Threshold", "threshold", threshold, finite=False)
        self.value = real("Threshold", "value", value, finite=False)

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.threshold_forward(x, self.threshold, self.value, out=out)
        self._saved = x if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.threshold_backward(self._kept(), dy, self.threshold, out=out)
        self._saved = None
        return dx
