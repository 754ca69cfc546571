"""The corners of the built-in layers, and their functions on the lower side."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.layers import ELU, SELU, Clip, PReLU, ReLU, Threshold
from relu_layers.ops.reference.activations import SELU_LOWEST, SELU_SCALE

_EPS = float(np.finfo(np.float64).eps)


class Corner:
    """The corner of an elementwise layer: above ``at`` it passes x, elsewhere it is `below`.

    The derivative at the corner itself is that of the lower side, as in Caffe. A Clip has two corners: "above" is
    between them.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.at: float = layer.threshold if isinstance(layer, Threshold) else 0.0

    def above(self, x: Array) -> Array:
        """Return where x lies above the corner, a bool array."""
        if isinstance(self._layer, Clip):
            return np.asarray((x > self._layer.minimum) & (x < self._layer.maximum))
        return np.asarray(x > self.at)

    def frozen(self, x: Array, above: Array) -> Array:
        """Return y as if every element stayed on its side in ``above``: smooth in x."""
        with np.errstate(over="ignore", invalid="ignore"):
            scale = SELU_SCALE if isinstance(self._layer, SELU) else 1.0
            return np.where(above, scale * x, self._below(x))

    def _below(self, x: Array) -> Array:
        layer = self._layer
        if isinstance(layer, ReLU):
            return np.asarray(layer.negative_slope * x)
        if isinstance(layer, PReLU):
            return np.asarray(layer.params["slope"] * x)
        if isinstance(layer, ELU):
            return np.asarray(layer.alpha * np.expm1(x))
        if isinstance(layer, SELU):
            return np.asarray(SELU_LOWEST * np.expm1(x))
        if isinstance(layer, Clip):
            # The nearer end: differences are too small to come from the other one.
            nearer = np.abs(x - layer.minimum) <= np.abs(x - layer.maximum)
            return np.where(nearer, layer.minimum, layer.maximum).astype(x.dtype)
        return np.full_like(x, layer.value)


def corner_of(layer: Any) -> Corner | None:
    """Return the corner of a built-in layer, None for one that has none or computes with a forward of its own."""
    kind = next((base for base in (ReLU, PReLU, ELU, SELU, Clip, Threshold) if isinstance(layer, base)), None)
    if kind is None or type(layer).forward is not kind.forward:
        return None
    # With a slope of 1 it is a straight line. ELU(1) has no corner in its slope, but one in its curvature, which
    # differences notice too, as long as the step is large.
    return None if getattr(layer, "negative_slope", 0.0) == 1.0 else Corner(layer)


def bend(before: Array, here: Array, after: Array, step: float) -> Array:
    """Return how much the slope of an array's elements changes at ``here``, a step to either side."""
    return np.asarray(np.abs(after - 2.0 * here + before) / step)


def turning(inputs: list[Array], outputs: list[Array], step: float) -> Array:
    """Return where a layer's output turns a corner that its input does not turn, a bool array.

    ``inputs`` and ``outputs`` are the layer's arrays at -step, 0 and +step. A smooth element bends by about
    ``step`` times its second derivative; a corner by the jump of its slope, whatever the step.
    """
    turned = bend(outputs[0], outputs[1], outputs[2], step)
    slope = np.abs(outputs[2] - outputs[0]) / (2.0 * step)
    if not turned.size or not np.isfinite(turned).all():
        return np.zeros(turned.shape, bool)
    moved = float(bend(inputs[0], inputs[1], inputs[2], step).max(initial=0.0))
    rounded = 16.0 * _EPS * np.abs(outputs[1]) / step
    # A corner of a small output counts as well: several of them add up.
    smooth = np.maximum(1e-2 * slope, 1e-5 * float(slope.max()))
    return np.asarray(turned > np.maximum(np.maximum(10.0 * moved, rounded), smooth))
