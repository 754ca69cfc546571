"""Arrays that begin on a cache line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers._support.configured import Array

_LINE = 64


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a new C-contiguous array whose first element lies on a cache line.

    NumPy aligns to 16 bytes, and then every vector of 64 bytes lies on two lines: loading one takes twice as long,
    and a load right after the store of the same vector waits for the cache.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _LINE, dtype=np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return the same, filled with zeros."""
    array = empty(shape, dtype)
    array.fill(0)
    return array
