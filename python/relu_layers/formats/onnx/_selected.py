"""Slopes and exponentials below zero in nodes that every runtime has in float64: LeakyRelu, PRelu and Elu it may not.

``x > 0 ? x : x * slope`` is Mul, Greater, Where; ``x > 0 ? x : alpha * (exp(x) - 1)`` is Exp, Sub, Mul, Greater, Where.
Selected, not multiplied by a mask, so that NaN and infinities are what they are in the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from relu_layers import layers
from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Node

SLOPED = ("Mul", "Greater", "Where")
EXPONENTIAL = ("Exp", "Sub", "Mul", "Greater", "Where")


class Selected(NamedTuple):
    """A layer to be made, its parameters, and how many nodes it is."""

    make: Callable[[], Any]
    params: dict[str, Array]
    nodes: int


def selected_at(
    nodes: Sequence[Node], first: int, current: str, constants: Mapping[str, Array], dtype: np.dtype[Any]
) -> Selected | None:
    """Return the layer that the nodes from ``first`` on make of ``current``, None if they make none."""
    for kinds in (SLOPED, EXPONENTIAL):
        found = nodes[first : first + len(kinds)]
        # The comparison may stand before the values that it chooses from, or among them.
        ordered = sorted(found[:-1], key=lambda node: node.op_type == "Greater") + list(found[-1:])
        if tuple(node.op_type for node in ordered) != kinds:
            continue
        *low, above, where = ordered
        below = low[0].outputs[0]
        for step in low[1:]:
            if step.input(0) != below:
                return None
            below = step.outputs[0]
        zero, factor = constants.get(above.input(1)), constants.get(low[-1].input(1))
        fits = low[0].input(0) == above.input(0) == current and where.inputs == (
            above.outputs[0],
            current,
            below,
        )
        if not fits or zero is None or factor is None or zero.dtype != dtype or factor.dtype != dtype:
            return None
        if zero.shape != () or zero != 0.0 or factor.ndim > 1 or not factor.size:
            return None
        return _layer(kinds, factor, [constants.get(step.input(1)) for step in low[1:-1]])
    return None


def softplus_at(
    nodes: Sequence[Node], first: int, current: str, constants: Mapping[str, Array]
) -> Selected | None:
    """Return the Softplus that PyTorch's newer exporter writes as ``x > 20 ? x : softplus(x)``, None for another.

    From 20 on the two differ by less than 2.1e-9.
    """
    found = nodes[first : first + 3]
    if tuple(node.op_type for node in found) != ("Softplus", "Greater", "Where"):
        return None
    softplus, above, where = found
    threshold = constants.get(above.input(1))
    if threshold is None or threshold.size != 1 or threshold.ndim > 1 or not threshold.item() >= 20.0:
        return None
    if softplus.input(0) != current or above.input(0) != current:
        return None
    if where.inputs != (above.outputs[0], current, softplus.outputs[0]):
        return None
    return Selected(layers.Softplus, {}, 3)


def _layer(kinds: tuple[str, ...], factor: Array, ones: list[Array | None]) -> Selected | None:
    if kinds == SLOPED and factor.ndim == 1:
        return Selected(lambda: layers.PReLU(factor.size), {"slope": factor}, len(kinds))
    number = float(factor.item()) if factor.ndim == 0 else np.nan
    if not np.isfinite(number):
        return None
    if kinds == SLOPED:
        return Selected(lambda: layers.ReLU(number), {}, len(kinds))
    one = ones[0]
    if one is None or one.shape != () or one != 1.0 or number < 0.0:
        return None
    return Selected(lambda: layers.ELU(number), {}, len(kinds))
