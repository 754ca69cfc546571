"""Minibatches of rows that are not in memory: what a source of rows is, and the buffer its rows pass through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np

from relu_layers._support.arguments import boolean, integer
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array

# Bytes of rows that are in memory at once.
BUFFER_BYTES = 32 * 2**20


class Field(NamedTuple):
    """What one array of a source holds in each row."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * self.dtype.itemsize


class Source(Protocol):
    """Rows by their position, in any kind of storage: what `Trainer.fit` takes in the place of arrays.

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
            told = ", ".join(str(len(array)) for array in self._arrays)
            raise ValueError(f"ArraySource: arrays have {told} rows, expected equal numbers")

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
    """Passes over rows in minibatches, in order or shuffled anew in every pass; where the rows are is for others."""

    def __init__(
        self,
        rows: int,
        batch_size: int,
        shuffle: bool | Callable[[int], Any],
        rng: np.random.Generator | int | None,
    ) -> None:
        self.rows = rows
        self.batch_size = integer("Minibatches", "batch_size", batch_size, minimum=1)
        self.shuffle = shuffle if callable(shuffle) else boolean("Minibatches", "shuffle", shuffle)
        if shuffle:
            self._rng = np.random.default_rng(rng)
            self._in_order = np.arange(self.rows)
            self._order = np.empty(self.rows, dtype=np.intp)

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        order = self.draw()
        for number in range(len(self)):
            yield self.batch(number, order)

    def draw(self) -> Array | None:
        """Return the order of the rows for one more pass, None where they stay in order; valid until the next."""
        if not self.shuffle:
            return None
        if callable(self.shuffle):
            self._order[:] = permutation("Minibatches", self.shuffle(self.rows), self.rows)
        else:
            self._order[:] = self._in_order
            self._rng.shuffle(self._order)
        return self._order

    def batch(self, number: int, order: Array | None) -> tuple[Array, ...]:
        """Return minibatch ``number``, counted from 0: valid until the next call."""
        raise NotImplementedError

    def window(self, number: int, order: Array | None) -> tuple[tuple[Array, ...], Array | None, int]:
        """Return arrays that hold minibatch ``number`` and some or all after it, their order, and its first row."""
        raise NotImplementedError


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
        # What the buffers hold: the first minibatch, the number of rows, and their order in the pass.
        self._first, self._held = -1, 0
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

    def window(self, number: int, order: Array | None) -> tuple[tuple[Array, ...], Array | None, int]:
        """Return the buffers, filled with minibatch ``number`` and those around it, and its place in them."""
        first = number - number % self._batches
        if first != self._first:
            self._first = -1
            self._fill(first * self.batch_size, order)
            self._first = first
        held = tuple(buffer[: self._held] for buffer in self._buffers)
        local = None if self._local is None else self._local[: self._held]
        return held, local, (number - first) * self.batch_size

    def _fill(self, start: int, order: Array | None) -> None:
        stop = min(start + self._batches * self.batch_size, self.rows)
        self._held = stop - start
        held = tuple(buffer[: self._held] for buffer in self._buffers)
        if order is None or self._local is None:
            self._source.take(range(start, stop), held)
            return
        chosen = order[start:stop]
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
    inside = (order >= 0) & (order < rows)
    if not inside.all() or (np.bincount(order.astype(np.intp), minlength=rows) != 1).any():
        raise ValueError(f"{owner}: shuffle returned no permutation of the {rows} rows")
    return order
