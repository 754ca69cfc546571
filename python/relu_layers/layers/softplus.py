"""Softplus: a smooth ReLU."""

from __future__ import annotations

from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Softplus(Layer):
    """Smooth ReLU: ``y = log(1 + exp(x))``.

    Backward: ``dx = dy * (1 - exp(-y))``, which is dy times the logistic function of x.

    Notes
    -----
    Source: Dugas et al. 2001. Nothing overflows; at x = -inf y is 0. Backward works from y.
    """

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.softplus_forward(x, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.softplus_backward(self._kept(), dy, out=out)
        self._saved = None
        return dx
