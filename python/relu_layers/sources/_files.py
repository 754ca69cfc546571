"""Arrays that stay in their file: rows are read by position, and nothing in the file is believed unchecked."""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from relu_layers._files.npy import read_header
from relu_layers._support.files import open_regular

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Bytes that one call reads at most where rows lie close together, and the gap that is read rather than skipped: a
# call costs about as much as copying it.
_AT_ONCE = 2**20
_GAP = 2**14


class FileArray:
    """An array of rows inside a file: contiguous, from a place on.

    Parameters
    ----------
    file : binary file
        Open for reading; closed when this object goes.
    path : Path
        For errors.
    offset : int
        Where the first row begins.
    shape : tuple of int
    dtype : dtype
        May be of the other byte order.

    Raises ValueError where the file is too short for that.
    """

    def __init__(
        self, file: BinaryIO, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._file, self._offset = file, offset
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)
        size = os.fstat(file.fileno()).st_size
        end = offset + shape[0] * self._row_bytes
        if end > size:
            raise ValueError(f"{path} is damaged: it has {size} bytes, its array ends at {end}")

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: range | Array, target: Array) -> None:
        """Do ``target[:] = self[rows]``, see `relu_layers.data.Source.take`."""
        if not self._row_bytes or not len(rows):
            return
        if target.dtype == self.dtype and target.flags.c_contiguous:
            self._gather(rows, target)
            return
        step = self._rows_at_once()
        found = np.empty((min(step, len(rows)), *self.shape[1:]), self.dtype)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            self._gather(part, found[: len(part)])
            target[start : start + step] = found[: len(part)]

    def _rows_at_once(self) -> int:
        return max(_AT_ONCE // self._row_bytes, 1)

    def _gather(self, rows: range | Array, target: Array) -> None:
        """Read ascending rows: those that lie close together in one call, with the rows between them."""
        size, memory = self._row_bytes, _bytes_of(target)
        if isinstance(rows, range) or int(rows[-1]) - int(rows[0]) + 1 == len(rows):
            self._read(int(rows[0]), memory)
            return
        breaks = np.flatnonzero(np.diff(rows) > _GAP // size + 1) + 1
        step = self._rows_at_once()
        found: Array | None = None
        for first, stop in itertools.pairwise([0, *breaks.tolist(), len(rows)]):
            if stop - first == 1:
                self._read(int(rows[first]), memory[first * size : stop * size])
                continue
            if found is None:
                found = np.empty((step, *self.shape[1:]), self.dtype)
            while first < stop:
                row = int(rows[first])
                end = min(int(np.searchsorted(rows, row + step)), stop)
                self._read(row, _bytes_of(found[: int(rows[end - 1]) - row + 1]))
                # mode="clip" gathers straight into the target; the default would go through a copy.
                np.take(found, rows[first:end] - row, axis=0, out=target[first:end], mode="clip")
                first = end

    def _read(self, row: int, memory: memoryview) -> None:
        """Fill ``memory`` with the bytes from a row on."""
        place = self._offset + row * self._row_bytes
        while memory:
            if hasattr(os, "preadv"):
                count = os.preadv(self._file.fileno(), [memory], place)
            else:
                with self._lock:
                    self._file.seek(place)
                    count = self._file.readinto(memory)  # type: ignore[attr-defined]
            if not count:
                raise ValueError(f"{self.path} became shorter while it was read")
            place += count
            memory = memory[count:]


def _bytes_of(array: Array) -> memoryview:
    """Return the memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def npy_header(read: Any, path: str | Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Return length of the header, shape and dtype of the .npy content that ``read(size)`` gives from its start on.

    Raises ValueError for anything but the numbers of one array in row order.
    """
    length, shape, dtype, fortran_order = read_header(read, path)
    if not shape:
        raise ValueError(f"{path} holds a single value, expected an array of rows")
    if fortran_order and len(shape) > 1:
        raise ValueError(
            f"{path} is stored in column order, expected row order: save np.ascontiguousarray(array)"
        )
    return length, shape, dtype


def opened_array(file: BinaryIO, find: Callable[[BinaryIO], FileArray]) -> FileArray:
    """Return ``find(file)``; the file is closed where that fails."""
    try:
        return find(file)
    except BaseException:
        file.close()
        raise


def open_npy(path: Path, file: BinaryIO | None = None) -> FileArray:
    """Return the array of an .npy file, whose length must be the one in its header."""

    def find(opened: BinaryIO) -> FileArray:
        opened.seek(0)
        offset, shape, dtype = npy_header(opened.read, path)
        size = os.fstat(opened.fileno()).st_size
        expected = offset + math.prod(shape) * dtype.itemsize
        if size != expected:
            raise ValueError(f"{path} is damaged: it has {size} bytes, its header says {expected}")
        return FileArray(opened, path, offset, shape, dtype)

    return opened_array(file if file is not None else open_regular(path), find)
