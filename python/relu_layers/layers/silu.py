"""SiLU: x * sigmoid(x), elementwise."""

from __future__ import annotations

from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class SiLU(Layer):
    """Sigmoid linear unit, also known as swish: ``y = x * s`` with ``s = 1 / (1 + exp(-x))``.

    Backward: ``dx = dy * s * (1 + x * (1 - s))``.

    Notes
    -----
    Source: Hendrycks and Gimpel 2016; Ramachandran, Zoph and Le 2017. Smooth, with a minimum of -0.2785 at
    x = -1.2785, so two x may have the same y: backward works from x. At x = -inf y is -0, its limit, where
    the formula itself would give NaN.
    """

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.silu_forward(x, out=out)
        self._saved = x if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.silu_backward(self._kept(), dy, out=out)
        self._saved = None
        return dx
