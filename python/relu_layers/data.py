"""Data: arrays or sources of rows cut into minibatches, a split for validation, and two small sets.

A source has rows that need not be in memory; the minibatches of a source are those of the same arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np

from relu_layers._support.arguments import boolean, integer, real
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array

__all__ = ["ArraySource", "Field", "Minibatches", "Source", "train_validation_split", "two_moons", "xor"]

# Bytes of rows that are in memory at once.
BUFFER_BYTES = 32 * 2**20


class Field(NamedTuple):
    """The shape and dtype of one row of an array of a source."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * self.dtype.itemsize


class Source(Protocol):
    """Rows by their position, in any kind of storage: `Trainer.fit` takes it instead of arrays.

    Attributes
    ----------
    fields : tuple of Field
        Of x, of y and, where there are such, of the sample weights.
    buffer_bytes : int
        Memory that the rows of consecutive minibatches may take at once; one minibatch has room in any case.
    """

    @property
    def fields(self) -> tuple[Field, ...]:
        """Shape and dtype of one row of each array."""

    @property
    def buffer_bytes(self) -> int:
        """Memory for rows, in bytes."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def take(self, rows: range | Array, out: Sequence[Array | None]) -> None:
        """Do ``out[k][:] = array_k[rows]`` for every array of ``out`` that is not None.

        ``rows`` is a range of step 1, or an int64 array in ascending order. The arrays of ``out`` are as long as it
        and may have another dtype: numbers are converted as by `numpy.ndarray.astype`.
        """


def is_source(value: Any) -> TypeGuard[Source]:
    """Return whether ``value`` is a source rather than an array."""
    return hasattr(value, "fields") and hasattr(value, "take") and hasattr(value, "buffer_bytes")


class ArraySource:
    """Arrays as a source: rows are read, and converted to the model's dtype, as minibatches need them.

    Parameters
    ----------
    x, y, sample_weight : ndarray, np.memmap or anything with shape, dtype and NumPy's indexing by ascending rows
    buffer_bytes : int, keyword
        Memory for the rows of consecutive minibatches.
    """

    def __init__(
        self, x: Any, y: Any, sample_weight: Any = None, *, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        self._arrays = (x, y) if sample_weight is None else (x, y, sample_weight)
        self.buffer_bytes = integer("ArraySource", "buffer_bytes", buffer_bytes, minimum=1)
        self.fields = tuple(Field(tuple(a.shape[1:]), np.dtype(a.dtype)) for a in self._arrays)
        if len({len(array) for array in self._arrays}) > 1:
            found = ", ".join(str(len(array)) for array in self._arrays)
            raise ValueError(f"ArraySource: arrays have {found} rows, expected equal numbers")

    def __len__(self) -> int:
        return len(self._arrays[0])

    def take(self, rows: range | Array, out: Sequence[Array | None]) -> None:
        """Copy rows, see `Source.take`."""
        chosen = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        for array, target in zip(self._arrays, out, strict=True):
            if target is not None:
                target[...] = array[chosen]


class Rows:
    """One array of a source, read where it is sliced."""

    def __init__(self, source: Source, index: int, dtype: np.dtype[Any]) -> None:
        self.source, self.dtype = source, dtype
        self._index = index
        self.shape = (len(source), *source.fields[index].shape)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> Array:
        """Return consecutive rows as a new array."""
        start, stop, _ = part.indices(len(self))
        result = np.empty((max(stop - start, 0), *self.shape[1:]), dtype=self.dtype)
        out: list[Array | None] = [None] * len(self.source.fields)
        out[self._index] = result
        self.source.take(range(start, start + len(result)), out)
        return result


class Ordered:
    """Passes over rows in minibatches, in order or newly shuffled in every pass; subclasses have the rows."""

    def __init__(
        self,
        rows: int,
        batch_size: int,
        shuffle: bool | Callable[[int], Any],
        rng: np.random.Generator | int | None,
    ) -> None:
        self.rows = rows
        self.batch_size = integer("Minibatches", "batch_size", batch_size, minimum=1)
        self.count = -(-self.rows // self.batch_size)
        self.shuffle = shuffle if callable(shuffle) else boolean("Minibatches", "shuffle", shuffle)
        if shuffle:
            self._rng = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        order = self.draw()
        for number in range(len(self)):
            yield self.batch(number, order)

    def draw(self) -> Array | None:
        """Return the order of the rows for one more pass, None where they stay in order."""
        if not self.shuffle:
            return None
        if callable(self.shuffle):
            order = permutation("Minibatches", self.shuffle(self.rows), self.rows)
            return np.array(order, dtype=np.intp)  # whoever returned it may change it
        return np.asarray(self._rng.permutation(self.rows), dtype=np.intp)

    def draw_ahead(self, passes: int) -> tuple[Array | None, Callable[[int], None]]:
        """Return the orders that `draw` would return for so many passes, (passes, rows), None for rows in order.

        Also a function that takes draws back: after it, as many have been drawn as it is given. Not for orders that
        a function of the caller returns.
        """
        if not self.shuffle:
            return None, lambda kept: None
        bits = self._rng.bit_generator
        before = bits.state

        def draw(count: int) -> Array:
            lines = np.empty((count, self.rows), dtype=np.intp)
            lines[:] = np.arange(self.rows, dtype=np.intp)
            # Line by line, with the draws of `Generator.permutation`.
            return self._rng.permuted(lines, axis=1, out=lines)

        def keep(count: int) -> None:
            bits.state = before
            draw(count)

        return draw(passes), keep

    def batch(self, number: int, order: Array | None) -> tuple[Array, ...]:
        """Return minibatch ``number``, counted from 0: valid until the next call."""
        raise NotImplementedError

    def window(self, number: int, order: Array | None) -> tuple[tuple[Array, ...], Array | None, int]:
        """Return arrays that hold minibatch ``number`` and some or all after it, their order, and its first row."""
        raise NotImplementedError


class Minibatches(Ordered):
    """Consecutive parts of arrays that share their first axis, in order or newly shuffled in every pass.

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
    >>> from relu_layers.data import Minibatches, xor
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
        rows = len(arrays[0])
        if any(len(array) != rows for array in arrays):
            found = ", ".join(str(len(array)) for array in arrays)
            raise ValueError(f"Minibatches: arrays have {found} rows, expected equal numbers")
        super().__init__(rows, batch_size, shuffle, rng)
        self._arrays = arrays
        self._buffers: list[Array] | None = None
        if shuffle:
            # np.take reads a contiguous source in place, any other through a copy of the whole.
            self._arrays = tuple(np.ascontiguousarray(array) for array in arrays)

    def batch(self, number: int, order: Array | None) -> tuple[Array, ...]:
        """Return minibatch ``number``, counted from 0: views, or buffers that are valid until the next call."""
        start = number * self.batch_size
        stop = start + self.batch_size
        if order is None:
            return tuple(array[start:stop] for array in self._arrays)
        chosen = order[start:stop]
        if self._buffers is None:
            height = min(self.batch_size, self.rows)
            self._buffers = [
                np.empty((height, *array.shape[1:]), dtype=array.dtype) for array in self._arrays
            ]
        buffers = tuple(buffer[: len(chosen)] for buffer in self._buffers)
        for array, buffer in zip(self._arrays, buffers, strict=True):
            # mode="clip" gathers straight into the buffer; the default would go through a copy.
            np.take(array, chosen, axis=0, out=buffer, mode="clip")
        return buffers

    def window(self, number: int, order: Array | None) -> tuple[tuple[Array, ...], Array | None, int]:
        """Return the whole arrays, contiguous where they are shuffled, and the place of ``number`` in them."""
        return self._arrays, order, number * self.batch_size


class StreamedMinibatches(Ordered):
    """The minibatches of a source: the same rows in the same order as those of arrays.

    As many minibatches as fit are read at once, their rows in the order in which the source has them; the order of
    the pass then leads to them in memory.
    """

    def __init__(
        self,
        source: Source,
        dtypes: Sequence[np.dtype[Any]],
        *,
        batch_size: int,
        shuffle: bool | Callable[[int], Any],
        rng: np.random.Generator | int | None,
    ) -> None:
        super().__init__(len(source), batch_size, shuffle, rng)
        self._source = source
        batch = self.batch_size * sum(
            Field(field.shape, dtype).nbytes for field, dtype in zip(source.fields, dtypes, strict=True)
        )
        self._batches = min(max(source.buffer_bytes // max(batch, 1), 1), max(len(self), 1))
        height = min(self._batches * self.batch_size, self.rows)
        self._buffers = tuple(
            empty((height, *field.shape), dtype) for field, dtype in zip(source.fields, dtypes, strict=True)
        )
        # What the buffers hold: the place of the first minibatch, the number of rows, and their order in the pass.
        self._first, self._held = -1, 0
        self._asked_for: Array = np.arange(len(self))
        self._local = np.empty(height, dtype=np.intp) if shuffle else None

    def draw(self) -> Array | None:
        """Return the order of one more pass."""
        order = super().draw()
        if order is not None:
            self._first = -1
        return order

    def batch(self, number: int, order: Array | None) -> tuple[Array, ...]:
        """Return minibatch ``number``: views of the buffers, or new arrays."""
        arrays, local, start = self.window(number, order)
        part = slice(start, start + self.batch_size)
        return tuple(array[part] if local is None else array[local[part]] for array in arrays)

    def ask_for(self, numbers: Array) -> None:
        """Read only these minibatches from now on, in ascending order: those of one rank."""
        self._asked_for = numbers
        self._first = -1

    def window(self, number: int, order: Array | None) -> tuple[tuple[Array, ...], Array | None, int]:
        """Return the buffers, filled with minibatch ``number`` and those around it, and its place in them."""
        place = int(np.searchsorted(self._asked_for, number))
        first = place - place % self._batches
        if first != self._first:
            self._first = -1
            self._fill(self._asked_for[first : first + self._batches], order)
            self._first = first
        held = tuple(buffer[: self._held] for buffer in self._buffers)
        local = None if self._local is None else self._local[: self._held]
        return held, local, (place - first) * self.batch_size

    def _fill(self, numbers: Array, order: Array | None) -> None:
        """Read the rows of these minibatches."""
        first, last = int(numbers[0]), int(numbers[-1])
        rows: range | Array = range(first * self.batch_size, min((last + 1) * self.batch_size, self.rows))
        if last - first >= len(numbers):
            rows = (numbers[:, None] * self.batch_size + np.arange(self.batch_size)).reshape(-1)
            rows = rows[rows < self.rows]
        self._held = len(rows)
        held = tuple(buffer[: self._held] for buffer in self._buffers)
        if order is None or self._local is None:
            self._source.take(rows, held)
            return
        chosen = order[rows.start : rows.stop] if isinstance(rows, range) else order[rows]
        ascending = np.argsort(chosen)
        self._local[ascending] = np.arange(self._held)
        self._source.take(chosen[ascending], held)


def permutation(owner: str, given: Any, rows: int) -> Array:
    """Return ``given`` as an array if it is a permutation of ``range(rows)``, else raise a ValueError."""
    order: Array = np.asarray(given)
    if order.shape != (rows,) or order.dtype.kind not in "iu":
        raise ValueError(
            f"{owner}: shuffle returned {order.dtype} of shape {order.shape}, expected {rows} integers"
        )
    # As many numbers as rows, each of which is met.
    met = np.zeros(rows, dtype=bool)
    if rows and order.min() >= 0 and order.max() < rows:
        met[order] = True
    if not met.all():
        raise ValueError(f"{owner}: shuffle returned no permutation of the {rows} rows")
    return order


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
    >>> from relu_layers.data import train_validation_split, two_moons
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
    noise = real("two_moons", "noise", noise, minimum=0.0)
    generator = np.random.default_rng(rng)
    y = np.arange(n, dtype=np.int64) % 2
    angle = generator.uniform(0.0, np.pi, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, upper, np.array([1.0, 0.5]) - upper)
    return x + generator.normal(0.0, noise, (n, 2)), y
