"""Inference on many rows at once: in blocks whose values stay in the second-level cache between two layers."""

from __future__ import annotations

import math

import numpy as np

from relu_layers._engine.abilities import BUILT_IN_LAYERS
from relu_layers._engine.passes import Passes, Shape
from relu_layers._support.configured import Array
from relu_layers.layers import LogSoftmax, Softmax

# Of a layer's output for one block: two of them, and the weights of a small layer, fit into 1 MiB.
_BLOCK_BYTES = 2**18
# Smaller blocks would cost more for reading the weights of a wide layer again than they save.
_FEWEST_ROWS = 1024


def rows_at_once(passes: Passes, x: Array, out: Array | None) -> tuple[int, Shape]:
    """Return how many rows of x go through the layers at once, and the shape of y.

    They are fewer than all where no layer looks at several rows, and what layers pass on would leave the cache.
    """
    rows = len(x) if x.ndim else 0
    if x.ndim != 2 or rows <= 2 * _FEWEST_ROWS:
        return rows, ()
    alone = all(
        type(layer) in BUILT_IN_LAYERS
        and not (isinstance(layer, (Softmax, LogSoftmax)) and layer.axis not in (-1, 1))
        for layer in passes.layers
    )
    if not alone:
        return rows, ()
    try:
        shapes = passes.shapes(x.shape)
    except (ValueError, TypeError, IndexError):  # the layer says so, of all rows
        return rows, ()
    inner = [math.prod(shape[1:]) for i in passes.inference_steps[:-1] if (shape := shapes[i]) is not None]
    if not inner:
        return rows, ()
    y_shape = shapes[-1]
    block = max(_BLOCK_BYTES // (max(inner) * passes.dtype.itemsize), _FEWEST_ROWS)
    if y_shape is None or rows <= 2 * block or not _takes_parts(out, x, y_shape):
        return rows, ()
    return block, y_shape


def _takes_parts(out: Array | None, x: Array, shape: Shape) -> bool:
    """Return whether y may be written part by part: what is wrong with ``out`` is said by who takes all of it."""
    if out is None:
        return True
    fits = isinstance(out, np.ndarray) and out.shape == shape and out.dtype == x.dtype
    return fits and out.flags.c_contiguous and out.flags.writeable and not np.may_share_memory(x, out)
