"""Buffers between layers: planned once per batch shape, reused, never handed to a caller.

A training pass keeps every layer's output until backward has read it; inference needs only the output before
and the one after a layer, so a few arrays take turns. They are three because a layer that does the work of its
neighbour reads what is two places away from what it writes. The gradients that flow backward take turns in the
same way.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array

Shape = tuple[int, ...]

# Batch shapes remembered per model: whole batches, an epoch's last batch, and validation have room; a server
# that sees every batch size does not fill the memory.
SHAPES_KEPT = 8
# An inference workspace above this size is given back after use: allocating it again costs less than what it
# computes.
BYTES_KEPT = 64 * 2**20


def taking_turns(shapes: list[Shape | None], dtype: np.dtype[Any]) -> tuple[list[Array | None], int]:
    """Return a buffer per shape, up to two places apart never in the same memory, and the bytes allocated."""
    sizes = [0 if shape is None else math.prod(shape) for shape in shapes]
    memory = [empty((max(sizes[turn::3], default=0),), dtype) for turn in range(3)]
    buffers = [
        None if shape is None else memory[i % 3][: sizes[i]].reshape(shape) for i, shape in enumerate(shapes)
    ]
    return buffers, sum(block.nbytes for block in memory)


class TrainingWorkspace:
    """Outputs of all layers and gradients of their inputs, for one batch shape.

    Attributes
    ----------
    x : ndarray or None
        The batch of the last training forward: the caller's array.
    outputs, gradients : list of ndarray or None
        Output of layer i, gradient of the input of layer i; None where the layer's own result is taken as it
        comes.
    results : list of ndarray or None
        What the layers returned in the last training forward: the outputs, or a layer's own arrays; for a layer
        that did the work of the ReLU after it, that ReLU's output.
    """

    __slots__ = ("gradients", "outputs", "results", "x")

    def __init__(self, shapes: list[Shape | None], dtype: np.dtype[Any]) -> None:
        self.x: Array | None = None
        self.outputs = [None if shape is None else empty(shape, dtype) for shape in shapes]
        self.results = list(self.outputs)
        # The gradient of the model's own input is asked for by backward alone, which returns a new array.
        self.gradients, _ = taking_turns([None, *shapes[:-1]], dtype)


class InferencePool:
    """Inference buffers by batch shape: one set for each inference that runs at the same time."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Shape, list[list[Array | None]]] = {}

    def take(self, x_shape: Shape) -> list[Array | None] | None:
        """Return a free set for batches of ``x_shape``, or None."""
        try:
            return self._free[x_shape].pop()
        except (KeyError, IndexError):
            return None

    def give(self, x_shape: Shape, buffers: list[Array | None]) -> None:
        """Take back a set that nobody uses any more."""
        free = self._free.get(x_shape)
        if free is None:
            if len(self._free) >= SHAPES_KEPT:
                self._free.clear()
            free = self._free.setdefault(x_shape, [])
        free.append(buffers)
