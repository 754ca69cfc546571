"""Blobs: the arrays in a caffemodel, whose claimed shapes must agree with the numbers that are there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.caffe._schema import Message

_MOST_AXES = 32


def numbers(values: list[Any], dtype: str) -> Array:
    """Return a repeated field of floats: slices of a binary file, or numbers of a text."""
    if values and isinstance(values[0], memoryview):
        return np.frombuffer(values[0] if len(values) == 1 else b"".join(values), dtype)
    return np.array(values, dtype)


def blob_array(blob: Message, shape: tuple[int | None, ...]) -> Array:
    """Return the numbers of a blob in ``shape``, where None stands for any size.

    A blob of the older form with four axes, or one with further axes of length 1 before the others, is taken as what
    it stands for.

    Raises
    ------
    ValueError
        The shape is another one, or does not agree with how many numbers there are, or some are not finite.
    """
    if blob["data"] and blob["double_data"]:
        raise ValueError("a blob has both data and double_data")
    values = numbers(blob["double_data"], "<f8") if blob["double_data"] else numbers(blob["data"], "<f4")
    legacy = [blob[name] for name in ("num", "channels", "height", "width")]
    claimed = blob.part("shape")["dim"] if "shape" in blob else legacy
    if len(claimed) > _MOST_AXES or min(claimed, default=0) < 0:
        raise ValueError(f"a blob claims {len(claimed)} axes with lengths {claimed[:8]}")
    if math.prod(claimed) != values.size:
        raise ValueError(f"a blob of shape {tuple(claimed)} holds {values.size} numbers")
    dims = list(claimed)
    while len(dims) > len(shape) and dims[0] == 1:
        dims = dims[1:]
    fits = len(dims) == len(shape) and all(b in (None, a) for a, b in zip(dims, shape, strict=True))
    if not fits:
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"a blob has shape {tuple(claimed)}, expected ({expected})")
    if not np.isfinite(values).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(values))} of {values.size} numbers of a blob are not finite"
        )
    return values.reshape(dims)
