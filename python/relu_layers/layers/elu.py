"""ELU: exponential on the negative side."""

from __future__ import annotations

from relu_layers._support.arguments import real
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class ELU(Layer):
    """Exponential linear unit: ``y = x if x > 0 else alpha * (exp(x) - 1)``.

    Backward: ``dx = dy if y > 0 else dy * (y + alpha)``.

    Parameters
    ----------
    alpha : float
        The value that ``-y`` approaches for x -> -inf. At least 0: backward reads the sign of x off y.

    Notes
    -----
    Source: Clevert, Unterthiner and Hochreiter 2015; Caffe's ELULayer. Backward works from y.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = real("ELU", "alpha", alpha, minimum=0.0)

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.elu_forward(x, self.alpha, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.elu_backward(self._kept(), dy, self.alpha, out=out)
        self._saved = None
        return dx
