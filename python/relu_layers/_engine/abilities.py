"""What a layer can do for the passes that run it: seen from its methods, once, when a model is put together."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from relu_layers.layers import Layer, ReLU
from relu_layers.layers.base import METHODS

# Those whose files have been imported: a layer of another kind cannot be there.
BUILT_IN_LAYERS = METHODS.keys()
_OTHER = None, None
# Numbers of layers that run in one call: one, or a layer and the ReLU whose work it does.
Units = list[tuple[int, ...]]


class Abilities:
    """What the layers of a model can do, one entry per layer.

    Attributes
    ----------
    managed : tuple of bool
        Takes buffers; a user's plain layer returns arrays of its own.
    keeps_shape : tuple of bool
        Returns what has the shape of its input.
    skips_dx, skips_gradients, adds : tuple of bool
        Its backward takes ``need_dx``, ``need_gradients``, ``accumulate``.
    fuses, fusible : tuple of bool
        It can do the work of a ReLU beside it; it is a ReLU whose work another layer may do.
    idle : tuple of bool
        Does nothing outside training.
    """

    def __init__(self, layers: tuple[Any, ...]) -> None:
        self.managed = tuple(map(is_managed, layers))
        self.keeps_shape = tuple(
            isinstance(layer, Layer) and type(layer).output_shape is Layer.output_shape for layer in layers
        )
        self.skips_dx = tuple(accepts(layer, "backward", "need_dx") for layer in layers)
        self.skips_gradients = tuple(accepts(layer, "backward", "need_gradients") for layer in layers)
        self.adds = tuple(accepts(layer, "backward", "accumulate") for layer in layers)
        self.fuses = tuple(map(fuses_relu, layers))
        self.fusible = tuple(map(is_fusible_relu, layers))
        self.idle = tuple(isinstance(layer, Layer) and layer.identity_at_inference for layer in layers)

    def units(self, order: Sequence[int]) -> Units:
        """Cut an order of layers into units: a layer and the ReLU that comes next, if it can do its work, or one layer.

        In a forward pass the ReLU is the one after the layer, in a backward pass the one before it.
        """
        units: Units = []
        for index in order:
            if self.fusible[index] and units and len(units[-1]) == 1 and self.fuses[units[-1][0]]:
                units[-1] = *units[-1], index
            else:
                units.append((index,))
        return units


def accepts(layer: object, method: str, keyword: str) -> bool:
    """Return whether ``layer.method`` takes the named keyword."""
    function = getattr(layer, method, None)
    # What layers of one class share is looked at once: a signature takes long.
    function = getattr(function, "__func__", function)
    try:
        return keyword in _parameter_names(function)
    except TypeError:  # not hashable, or not callable
        return False


@lru_cache(maxsize=256)
def _parameter_names(function: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except ValueError:
        return frozenset()


def is_managed(layer: object) -> bool:
    """Return whether ``layer`` takes workspace buffers, as the built-in layers do."""
    return (
        callable(getattr(layer, "output_shape", None))
        and accepts(layer, "forward", "out")
        and accepts(layer, "backward", "out")
    )


def fuses_relu(layer: object) -> bool:
    """Return whether ``layer`` can do the work of a ReLU beside it, in both directions."""
    return (
        getattr(layer, "fuses_relu", False) is True
        and accepts(layer, "forward", "negative_slope")
        and accepts(layer, "backward", "negative_slope")
    )


def is_replaced(layer: Any) -> bool:
    """Return whether a built-in layer computes with a function that was put in place of its own."""
    attributes = layer.__dict__
    if "forward" in attributes or "backward" in attributes:
        return type(layer) in METHODS
    kind = type(layer)
    forward, backward = METHODS.get(kind, _OTHER)
    return forward is not None and (kind.forward is not forward or kind.backward is not backward)


def is_fusible_relu(layer: object) -> bool:
    """Return whether ``layer`` is a ReLU whose work a layer beside it may do: a subclass may compute something else."""
    kind: Any = type(layer)
    return isinstance(layer, ReLU) and kind.forward is ReLU.forward and kind.backward is ReLU.backward
