"""Memory of passes: planned once per batch shape, reused, and never handed to a caller.

A training pass keeps every layer's output until backward has read it; inference needs only the output before and the
one after a layer, so a few arrays take turns. They are three because a layer that does the work of its neighbour reads
what is two places away from what it writes. The gradients that flow backward take turns in the same way.
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

    With ``whole`` no gradient takes the memory of another.

    Attributes
    ----------
    x : ndarray or None
        The batch of the last training forward: the caller's array.
    outputs, gradients : list of ndarray or None
        Output of layer i, gradient of the input of layer i; None where the layer's own result is taken as it
        comes.
    dys : list of ndarray or None
        The gradients of what the layers returned, in the last backward.
    results : list of ndarray or None
        What the layers returned in the last training forward: the outputs, or a layer's own arrays; for a layer
        that did the work of the ReLU after it, that ReLU's output.
    """

    __slots__ = ("_output_gradient", "dys", "gradients", "outputs", "results", "whole", "x")

    def __init__(self, shapes: list[Shape | None], dtype: np.dtype[Any], whole: bool = False) -> None:
        self.x: Array | None = None
        self.whole = whole
        self.outputs = [None if shape is None else empty(shape, dtype) for shape in shapes]
        self.results = list(self.outputs)
        self.dys: list[Array | None] = [None] * len(shapes)
        # The gradient of the model's own input is asked for by backward alone, which returns a new array.
        inner = [None, *shapes[:-1]]
        if whole:
            self.gradients = [None if shape is None else empty(shape, dtype) for shape in inner]
        else:
            self.gradients, _ = taking_turns(inner, dtype)
        self._output_gradient: Array | None = None

    def output_gradient(self, y: Array) -> Array:
        """Return the buffer that the loss of outputs ``y`` fills; made when it is first needed."""
        buffer = self._output_gradient
        if buffer is None or buffer.shape != y.shape:
            buffer = self._output_gradient = empty(y.shape, y.dtype)
        return buffer


class InferencePool:
    """Inference buffers by batch shape: one set for each inference that runs at the same time."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Shape, list[dict[int, Array | None]]] = {}

    def take(self, x_shape: Shape) -> dict[int, Array | None] | None:
        """Return a free set for batches of ``x_shape``, or None."""
        try:
            return self._free[x_shape].pop()
        except (KeyError, IndexError):
            return None

    def give(self, x_shape: Shape, buffers: dict[int, Array | None]) -> None:
        """Take back a set that is no longer in use."""
        free = self._free.get(x_shape)
        if free is None:
            if len(self._free) >= SHAPES_KEPT:
                self._free.clear()
            free = self._free.setdefault(x_shape, [])
        free.append(buffers)
