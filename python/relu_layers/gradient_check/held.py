"""Outputs of a user's layer that lie at a corner, held to the slope that its own backward pass takes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from relu_layers._support.configured import Array

Place = tuple[int, ...]


class OutputSlope:
    """One output of a layer as a linear function of the layer's input and parameters.

    Parameters
    ----------
    value : float
        The output at the numbers that are checked.
    arriving : list of (ndarray, ndarray)
        The input and every parameter, each with the output's gradient by the layer's backward pass.
    """

    def __init__(self, value: float, arriving: list[tuple[Array, Array]]) -> None:
        self._value = value
        self._terms = []
        for array, gradient in arriving:
            # What the output does not depend on may be infinite.
            places = np.nonzero(gradient)
            self._terms.append((places, gradient[places], array[places].copy()))

    def at(self, arrays: list[Array]) -> float:
        """Return the output for another input and other parameters, in the order of ``arriving``."""
        terms = zip(self._terms, arrays, strict=True)
        return self._value + float(
            sum(gradient @ (array[places] - was) for (places, gradient, was), array in terms)
        )


class HeldOutputs:
    """Those outputs of a layer that lie at a corner, each with its slope."""

    def __init__(self, layer: Any, slopes: Mapping[Place, OutputSlope]) -> None:
        self._layer, self._slopes = layer, slopes

    def applied(self, x: Array, y: Array) -> Array:
        """Return the outputs y for the input x, the held ones as their slopes give them."""
        arrays = [x, *self._layer.params.values()]
        y = y.copy()
        for place, slope in self._slopes.items():
            y[place] = slope.at(arrays)
        return y
