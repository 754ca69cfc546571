"""Dropout whose mask is a function of (key, counter, element index), so threads and order do not matter.

The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(2011).
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

import numpy as np

from relu_layers.ops.reference.arrays import FloatArray, float_array, output

if TYPE_CHECKING:
    from numpy.typing import NDArray  # importing it takes a tenth of what NumPy takes

__all__ = [
    "dropout_forward",
    "dropout_backward",
]

_quiet = np.errstate(all="ignore")

_WORD = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox4x32(
    counter: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]],
    key: tuple[int, int],
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the four 32-bit output words (held in uint64) for four counter words and two key words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            product1 & _WORD,
            (product0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            product0 & _WORD,
        )
        k0, k1 = (k0 + _KEY_STEPS[0]) % 2**32, (k1 + _KEY_STEPS[1]) % 2**32
    return c0, c1, c2, c3


def _kept(op: str, size: int, rate: float, key: int, counter: int) -> NDArray[np.bool_]:
    """Return which of `size` elements stay: those whose word is at least ``floor(rate * 2**32)``."""
    if not 0 <= rate < 1:
        raise ValueError(f"{op}: rate is {rate}, expected 0 <= rate < 1")
    key, counter = operator.index(key), operator.index(counter)
    for name, number in (("key", key), ("counter", counter)):
        if not 0 <= number < 2**64:
            raise ValueError(f"{op}: {name} is {number}, expected 0 <= {name} < 2**64")
    block = np.arange((size + 3) // 4, dtype=np.uint64)
    same = np.ones_like(block)
    words = philox4x32(
        (block & _WORD, block >> _SHIFT, same * np.uint64(counter % 2**32), same * np.uint64(counter >> 32)),
        (key % 2**32, key >> 32),
    )
    kept: NDArray[np.bool_] = np.stack(words, axis=-1).reshape(-1)[:size] >= np.uint64(
        math.floor(rate * 2**32)
    )
    return kept


@_quiet
def dropout_forward(
    x: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray:
    """Set each element to 0 with probability `rate`, multiply the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    x
        Array of any shape; elements are counted in C order.
    rate
        In [0, 1).
    key, counter
        64-bit unsigned integers. Element i takes word ``i % 4`` of Philox4x32-10 at counter words
        (i // 4 low, i // 4 high, counter low, counter high) under key words (key low, key high).
    out
        Array for the result, apart from x.
    """
    x = float_array("dropout_forward", "x", x)
    kept = _kept("dropout_forward", x.size, rate, key, counter).reshape(x.shape)
    out = output("dropout_forward", out, x.shape, x.dtype, reads=[x])
    out[...] = np.where(kept, x * (1 / (1 - rate)), x.dtype.type(0))
    return out


@_quiet
def dropout_backward(
    dy: FloatArray, rate: float, *, key: int, counter: int, out: FloatArray | None = None
) -> FloatArray:
    """Gradient of `dropout_forward` with the same rate, key and counter: the same map applied to dy.

    ``out=dy`` is allowed.
    """
    dy = float_array("dropout_backward", "dy", dy)
    kept = _kept("dropout_backward", dy.size, rate, key, counter).reshape(dy.shape)
    out = output("dropout_backward", out, dy.shape, dy.dtype, may_alias=[dy])
    out[...] = np.where(kept, dy * (1 / (1 - rate)), dy.dtype.type(0))
    return out
