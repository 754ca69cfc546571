"""What a user's own layers compute, found from their arrays, so that it can be written out like the built-in ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.copies import copied_model
from relu_layers.layers import Layer
from relu_layers.model import Sequential

# Roundings by which two ways to compute the same number may differ, in units of eps of the terms' size.
_ROUNDINGS = 8.0


@dataclass(frozen=True)
class Found:
    """What a layer was found to do.

    Attributes
    ----------
    role : {"dense", "elementwise", "other"}
    kind : str
        ``"ReLU"`` where it does exactly what that does, else the class's name.
    keys : dict of str to str
        For a dense layer, ``"weight"`` and ``"bias"`` -> the layer's own names of these.
    derivative : ndarray or None
        dy/dx of an elementwise layer.
    config : dict
        ReLU's ``negative_slope``.
    """

    role: str
    kind: str
    keys: dict[str, str] = field(default_factory=dict)
    derivative: Array | None = None
    config: dict[str, Any] = field(default_factory=dict)


def as_model(owner: str, model: Any) -> Sequential:
    """Return a Sequential as it is; a layer, or a sequence of them, as a float64 model of copies."""
    if isinstance(model, Sequential):
        return model
    if isinstance(model, (list, tuple)):
        model = Sequential(*copy.deepcopy(list(model)), dtype=np.float64)
    return copied_model(owner, model, np.float64)


def found(
    layer: Any, x: Array, y: Array, dy: Array, dx: Array | None, params: dict[str, Array]
) -> Found | None:
    """Return what a user's own layer did in a step, None for a built-in one."""
    if isinstance(layer, Layer):
        return None
    kind = type(layer).__name__
    keys = _product(x, y, params)
    if keys:
        return Found("dense", kind, keys)
    derivative = None if params or x.shape != y.shape or dx is None else _derivative(layer, dy, dx)
    if derivative is None:
        return Found("other", kind)
    slope = _slope(x, y, derivative)
    if slope is None:
        return Found("elementwise", kind, derivative=derivative)
    return Found("elementwise", "ReLU", derivative=derivative, config={"negative_slope": slope})


def _product(x: Array, y: Array, params: dict[str, Array]) -> dict[str, str]:
    """Return the names of weight and bias where y is ``x @ weight + bias``, else nothing."""
    if x.ndim != 2 or y.ndim != 2 or len(params) > 2:
        return {}
    for name, weight in params.items():
        if weight.shape != (x.shape[1], y.shape[1]):
            continue
        rest = [other for other in params if other != name]
        bias = params[rest[0]] if rest else np.zeros(y.shape[1], y.dtype)
        if bias.shape != (y.shape[1],):
            continue
        size = np.abs(x) @ np.abs(weight) + np.abs(bias)
        allowed = _ROUNDINGS * (x.shape[1] + 1) * np.finfo(y.dtype).eps * size
        if np.all(np.abs(x @ weight + bias - y) <= allowed):
            return {"weight": name, **({"bias": rest[0]} if rest else {})}
    return {}


def _derivative(layer: Any, dy: Array, dx: Array) -> Array | None:
    """Return the backward of dy = 1, if two other gradients confirm that it is a factor of each element."""

    def backward(gradient: Array) -> Array:
        # The method of the class, since the instance's own is being watched.
        return np.array(type(layer).backward(copy.deepcopy(layer), gradient.copy()))

    try:
        derivative = backward(np.ones_like(dy))
        other = np.asarray(np.random.default_rng(0).standard_normal(dy.shape), dy.dtype)
        pairs = ((dy, dx), (other, backward(other)))
    except Exception:
        # Its backward needs what only a real step has; then its arrays are shown as they are.
        return None
    if derivative.shape != dy.shape:
        return None
    eps = _ROUNDINGS * np.finfo(dy.dtype).eps
    for came, left in pairs:
        expected = derivative * came
        if not np.all(np.abs(expected - left) <= eps * np.abs(expected)):
            return None
    return derivative


def _slope(x: Array, y: Array, derivative: Array) -> float | None:
    """Return the negative slope with which the layer did what ReLU does, at 0 as well; None if it did not."""
    below = x < 0
    if not below.any():
        return None
    slope = float(derivative[below][0])
    same = np.array_equal(y, np.where(x > 0, x, derivative[below][0] * x))
    return slope if same and np.array_equal(derivative, np.where(x > 0, 1.0, slope)) else None
