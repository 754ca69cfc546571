"""Small data sets and ways to cut data into parts: XOR, two moons, minibatches, a split for validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from relu_layers._streaming import ArraySource, Field, Ordered, Source
from relu_layers._support.arguments import integer, real
from relu_layers._support.configured import Array

__all__ = ["ArraySource", "Field", "Minibatches", "Source", "train_validation_split", "two_moons", "xor"]


def xor() -> tuple[Array, Array]:
    """Return the four rows of XOR: x (4, 2) and y (4, 1), both int64."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.int64)
    return x, np.array([[0], [1], [1], [0]], dtype=np.int64)


def two_moons(
    n: int, noise: float = 0.1, rng: np.random.Generator | int | None = None
) -> tuple[Array, Array]:
    """Return two interleaved half circles of radius 1, half of the rows on each.

    Parameters
    ----------
    n : int
        Number of rows.
    noise : float
        Standard deviation of the normal noise on both coordinates.
    rng : np.random.Generator, int or None
        Source of positions and noise; None is fresh entropy.

    Returns
    -------
    x : ndarray (n, 2), float64
    y : ndarray (n,), int64
        0 for the upper moon, 1 for the lower one.
    """
    n = integer("two_moons", "n", n, minimum=1)
    noise = real("two_moons", "noise", noise)
    if noise < 0.0:
        raise ValueError(f"two_moons: noise is {noise}, expected at least 0")
    generator = np.random.default_rng(rng)
    y = np.arange(n, dtype=np.int64) % 2
    angle = generator.uniform(0.0, np.pi, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, upper, np.array([1.0, 0.5]) - upper)
    return x + generator.normal(0.0, noise, (n, 2)), y


class Minibatches(Ordered):
    """Consecutive parts of arrays that share their first axis, in order or shuffled anew in every pass.

    In order the parts are views. Shuffled, the rows are gathered into one buffer per array that every part
    reuses, so copy what should outlive the next one.

    Parameters
    ----------
    *arrays : ndarray
        Of equal length.
    batch_size : int, keyword
        Rows of a part; the last part of a pass may be shorter.
    shuffle : bool or callable, keyword
        Whether each pass draws a new order from ``rng``; or ``shuffle(rows)``, which returns the order of a pass,
        a permutation of ``range(rows)``.
    rng : np.random.Generator, int or None, keyword
        None is fresh entropy.

    Examples
    --------
    >>> x, y = xor()
    >>> [labels.tolist() for _, labels in Minibatches(x, y, batch_size=3)]
    [[[0], [1], [1]], [[0]]]
    """

    def __init__(
        self,
        *arrays: Array,
        batch_size: int,
        shuffle: bool | Callable[[int], Any] = False,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise ValueError("Minibatches: expected at least one array, each with a first axis of rows")
        lengths = {len(array) for array in arrays}
        if len(lengths) > 1:
            found = ", ".join(str(len(array)) for array in arrays)
            raise ValueError(f"Minibatches: arrays have {found} rows, expected equal numbers")
        super().__init__(lengths.pop(), batch_size, shuffle, rng)
        self._arrays = arrays
        if shuffle:
            height = min(self.batch_size, self.rows)
            # np.take reads a contiguous source in place, any other through a copy of the whole.
            self._arrays = tuple(np.ascontiguousarray(array) for array in arrays)
            self._buffers = [np.empty((height, *array.shape[1:]), dtype=array.dtype) for array in arrays]

    def batch(self, number: int, order: Array | None) -> tuple[Array, ...]:
        """Return minibatch ``number``, counted from 0: views, or buffers that are valid until the next call."""
        start = number * self.batch_size
        stop = start + self.batch_size
        if order is None:
            return tuple(array[start:stop] for array in self._arrays)
        chosen = order[start:stop]
        buffers = tuple(buffer[: len(chosen)] for buffer in self._buffers)
        for array, buffer in zip(self._arrays, buffers, strict=True):
            # mode="clip" gathers straight into the buffer; the default would go through a copy.
            np.take(array, chosen, axis=0, out=buffer, mode="clip")
        return buffers

    def window(self, number: int, order: Array | None) -> tuple[tuple[Array, ...], Array | None, int]:
        """Return the whole arrays, contiguous where they are shuffled, and the place of ``number`` in them."""
        return self._arrays, order, number * self.batch_size


def train_validation_split(
    *arrays: Any, fraction: float = 0.2, rng: np.random.Generator | int | None = None
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the rows in random order as two parts, ``(train, validation)``, each a tuple like ``arrays``.

    Parameters
    ----------
    *arrays : array_like
        Of equal length, such as x, y and sample weights.
    fraction : float, keyword
        Share of the rows for validation, above 0 and below 1; each part has at least one row.
    rng : np.random.Generator, int or None, keyword
        Draws the rows; None is fresh entropy.

    Examples
    --------
    >>> (x, y), validation = train_validation_split(*two_moons(100, rng=0), rng=0)
    >>> len(x), len(validation[0])
    (80, 20)
    """
    fraction = real("train_validation_split", "fraction", fraction)
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"train_validation_split: fraction is {fraction}, expected above 0 and below 1")
    taken = [np.asarray(array) for array in arrays]
    lengths = {array.shape[:1] for array in taken}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(
            f"train_validation_split: arrays have shapes {', '.join(str(array.shape) for array in taken)}, "
            "expected equal numbers of rows"
        )
    rows = len(taken[0])
    if rows < 2:
        raise ValueError(f"train_validation_split: {rows} rows, expected at least 2")
    order = np.random.default_rng(rng).permutation(rows)
    count = min(max(round(fraction * rows), 1), rows - 1)
    train, validation = np.sort(order[count:]), np.sort(order[:count])
    return tuple(a[train] for a in taken), tuple(a[validation] for a in taken)
