"""Tanh: tanh(x), elementwise."""

from __future__ import annotations

from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Tanh(Layer):
    """Elementwise ``y = tanh(x)`` with ``dx = dy * (1 - y**2)``; backward works from y."""

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.tanh_forward(x, out=out)
        self._saved = y if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.tanh_backward(self._kept(), dy, out=out)
        self._saved = None
        return dx
