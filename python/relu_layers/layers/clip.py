"""Clip: a ReLU with an upper end."""

from __future__ import annotations

from relu_layers._support.arguments import real
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Clip(Layer):
    """Clipped ReLU: x between two limits, else the nearer of them.

    Backward: ``dx = dy if minimum < y < maximum else 0``.

    Parameters
    ----------
    minimum, maximum : float
        The limits, minimum below maximum; one of them may be infinite. ``Clip()`` is ReLU6, ``Clip(-1, 1)`` is called
        hard tanh elsewhere.

    Notes
    -----
    Source: Krizhevsky 2010; ONNX's Clip. The derivative at both corners is 0, as PyTorch's. Backward works from y.
    """

    def __init__(self, minimum: float = 0.0, maximum: float = 6.0) -> None:
        self.minimum = real("Clip", "minimum", minimum, finite=False)
        self.maximum = real("Clip", "maximum", maximum, finite=False)
        if not self.minimum < self.maximum:
            raise ValueError(f"Clip: minimum is {minimum} and maximum {maximum}, expected minimum < maximum")

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.clip_forward(x, self.minimum, self.maximum, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.clip_backward(self._kept(), dy, self.minimum, self.maximum, out=out)
        self._saved = None
        return dx
