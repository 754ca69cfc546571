"""Arrays that begin on a cache line.

NumPy aligns to 16 bytes, and then every vector of 64 bytes lies on two lines: loading one takes twice as long, and a
load right after the store of the same vector waits for the cache.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from relu_layers import _core
from relu_layers._core import empty

__all__ = ["Array", "all_finite", "empty", "zeros"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a new C-contiguous array of zeros whose first element lies on a cache line."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def all_finite(values: Array) -> bool:
    """Return whether no number of a float array is NaN or infinite: at the speed of memory where it lies in order."""
    try:
        return _core.all_finite(values)
    except (TypeError, ValueError):  # of other floats, or not in order
        return bool(np.isfinite(values).all())
