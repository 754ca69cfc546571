"""SELU: an ELU whose constants keep mean and variance."""

from __future__ import annotations

from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class SELU(Layer):
    """Scaled exponential linear unit: ``y = s * x if x > 0 else s * a * (exp(x) - 1)``.

    Backward: ``dx = s * dy if y > 0 else dy * (y + s * a)``.

    Notes
    -----
    Source: Klambauer et al. 2017, with s = 1.0507... and a = 1.6732...: activations of weights that
    are drawn by ``"lecun_normal"`` keep mean 0 and variance 1 from layer to layer. Backward works from y.
    """

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.selu_forward(x, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.selu_backward(self._kept(), dy, out=out)
        self._saved = None
        return dx
