"""ReLU, leaky with a negative slope."""

from __future__ import annotations

from relu_layers._support.arguments import real
from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class ReLU(Layer):
    """Rectified linear unit: ``y = x if x > 0 else negative_slope * x``.

    Backward: ``dx = dy if x > 0 else negative_slope * dy``. At x = 0 the gradient is that of the negative
    side, as in Caffe's ReLULayer.

    Parameters
    ----------
    negative_slope : float
        Slope for x <= 0; 0.01 is the usual leaky ReLU. Any finite number.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> layer = rl.ReLU(0.1)
    >>> layer.forward(np.array([[-2.0, 0.0, 3.0]]), training=True)
    array([[-0.2,  0. ,  3. ]])
    >>> layer.backward(np.array([[1.0, 1.0, 1.0]]))
    array([[0.1, 0.1, 1. ]])
    """

    def __init__(self, negative_slope: float = 0.0) -> None:
        self.negative_slope = real("ReLU", "negative_slope", negative_slope)

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.relu_forward(x, self.negative_slope, out=out)
        self._saved = x if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.relu_backward(self._kept(), dy, self.negative_slope, out=out)
        self._saved = None
        return dx
