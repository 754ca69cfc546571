"""GELU: x times the normal distribution of x, elementwise."""

from __future__ import annotations

from relu_layers._support.arguments import choice
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class GELU(Layer):
    """Gaussian error linear unit: ``y = x * P(x)``, P the normal distribution, ``(1 + erf(x / sqrt(2))) / 2``.

    Backward: ``dx = dy * (P(x) + x * p(x))``, p the density of P.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` replaces P(x) by ``(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2``, which differs by less
        than 5e-4.

    Notes
    -----
    Source: Hendrycks and Gimpel 2016. Smooth, with a minimum of -0.17 at x = -0.7518, so two x may have the same y:
    backward works from x. At x = -inf y is -0, its limit, where the formula itself would give NaN.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = choice("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.gelu_forward(x, self.approximate, out=out)
        self._saved = x if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.gelu_backward(self._kept(), dy, self.approximate, out=out)
        self._saved = None
        return dx
