"""Rows that are written to a file once, in order, so that they can be read by position."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np

from relu_layers._files.npy import header_bytes
from relu_layers.sources._files import FileArray, open_npy

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
# Room for the header, which is written last: only then the number of rows is known.
_HEADER_BYTES = 512


class Spool:
    """An .npy file that grows by blocks of rows.

    Parameters
    ----------
    path : Path or None
        None: a temporary file without a name, which disappears when its last reader does.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        # Open until `finish` hands it on or `close` gives up.
        opened = tempfile.TemporaryFile() if path is None else path.open("w+b")  # noqa: SIM115
        self._file = cast(BinaryIO, opened)
        self._file.seek(_HEADER_BYTES)
        self._rows = 0
        self._row: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def append(self, block: Array) -> None:
        """Write rows; all blocks have the same dtype and shape of a row."""
        row = block.shape[1:], block.dtype
        if self._row is None:
            self._row = row
        if row != self._row:
            raise ValueError(
                f"rows of {block.dtype} and shape {row[0]} follow rows of {self._row[1]}, {self._row[0]}"
            )
        self._file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
        self._rows += len(block)

    def finish(self) -> FileArray:
        """Return the rows as an array in the file."""
        shape, dtype = self._row or ((), np.dtype(np.float32))
        self._file.seek(0)
        self._file.write(header_bytes((self._rows, *shape), dtype, _HEADER_BYTES))
        self._file.flush()
        return open_npy(self._path or Path("temporary file"), self._file)

    def close(self) -> None:
        """Give up."""
        self._file.close()


def refuse_full_disk(needed: int, what: str) -> None:
    """Raise an OSError if the disk for temporary files has not as many bytes free."""
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"{what} needs {needed:,} bytes in {place}, which has {free:,} free; set TMPDIR to a folder with more",
        )
