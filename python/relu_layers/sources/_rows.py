"""Sources of rows: files and parts of them, with their methods beside training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.arguments import integer
from relu_layers.data import ArraySource, Field, train_validation_split
from relu_layers.preprocessing import Preprocessing
from relu_layers.sources._files import FileArray

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_NAMES = ("x", "y", "sample_weight")


class RowReader:
    """The methods of all sources here beside the protocol `relu_layers.data.Source`.

    Attributes
    ----------
    preprocessing : Preprocessing or None
        What has turned the columns of a table into x and y; give it to ``model.preprocessing`` to have it in the
        model's file.
    """

    fields: tuple[Field, ...]
    buffer_bytes: int
    preprocessing: Preprocessing | None

    def __len__(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    def take(self, rows: range | Array, out: Sequence[Array | None]) -> None:
        """Copy rows, see `relu_layers.data.Source.take`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        lengths = ", ".join(
            f"{name} {field.dtype}{list(field.shape)}"
            for name, field in zip(_NAMES, self.fields, strict=False)
        )
        return f"<{type(self).__name__}: {len(self):,} rows of {lengths}>"

    def blocks(self, rows: int) -> Iterator[tuple[Array, ...]]:
        """Yield all rows in order, ``rows`` at a time, as new arrays ``(x, y)`` or ``(x, y, sample_weight)``."""
        rows = integer("blocks", "rows", rows, minimum=1)
        for start in range(0, len(self), rows):
            count = min(rows, len(self) - start)
            block = tuple(
                np.empty((count, *field.shape), field.dtype.newbyteorder("=")) for field in self.fields
            )
            self.take(range(start, start + count), block)
            yield block

    def split(self, fraction: float = 0.2, rng: np.random.Generator | int | None = None) -> tuple[Part, Part]:
        """Return two parts, for training and for validation: the rows that `train_validation_split` chooses."""
        (train,), (validation,) = train_validation_split(np.arange(len(self)), fraction=fraction, rng=rng)
        return Part(self, train), Part(self, validation)


class FileSource(RowReader):
    """Arrays that stay in files.

    Parameters
    ----------
    arrays : sequence of FileArray
        x, y and perhaps sample weights, of equal length.
    preprocessing : Preprocessing or None
    buffer_bytes : int
        Memory for the rows of consecutive minibatches.
    """

    def __init__(
        self, arrays: Sequence[FileArray], preprocessing: Preprocessing | None, buffer_bytes: int
    ) -> None:
        if len({len(array) for array in arrays}) > 1:
            lengths = ", ".join(f"{name} {len(array)}" for name, array in zip(_NAMES, arrays, strict=False))
            raise ValueError(f"{arrays[0].path}: the arrays have different numbers of rows: {lengths}")
        if not len(arrays[0]):
            raise ValueError(f"{arrays[0].path} has no rows")
        self._arrays = tuple(arrays)
        self.preprocessing = preprocessing
        self.buffer_bytes = integer("open_source", "buffer_bytes", buffer_bytes, minimum=1)
        self.fields = tuple(Field(array.shape[1:], array.dtype) for array in arrays)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._arrays[0])

    def take(self, rows: range | Array, out: Sequence[Array | None]) -> None:
        """Copy rows, see `relu_layers.data.Source.take`."""
        for array, target in zip(self._arrays, out, strict=True):
            if target is not None:
                array.take(rows, target)


class Part(RowReader):
    """Some rows of a source.

    Parameters
    ----------
    source : RowReader or ArraySource
    index : ndarray of int64, ascending
        Positions of the rows.
    """

    def __init__(self, source: RowReader | ArraySource, index: Array) -> None:
        inside = not len(index) or (index[0] >= 0 and index[-1] < len(source))
        if index.ndim != 1 or (np.diff(index) <= 0).any() or not inside:
            raise ValueError(f"Part: expected ascending positions below {len(source)}")
        self._source, self._index = source, index
        self.preprocessing = getattr(source, "preprocessing", None)
        self.buffer_bytes, self.fields = source.buffer_bytes, source.fields

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._index)

    def take(self, rows: range | Array, out: Sequence[Array | None]) -> None:
        """Copy rows, see `relu_layers.data.Source.take`."""
        chosen = self._index[rows.start : rows.stop] if isinstance(rows, range) else self._index[rows]
        self._source.take(chosen, out)
