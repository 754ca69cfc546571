"""Files of named columns: read block by block, or whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers.preprocessing.columns import as_column, as_text
from relu_layers.sources._archives import hdf5_arrays, npz_arrays
from relu_layers.sources._columnar import columnar_blocks
from relu_layers.sources._sizes import MOST_IN_MEMORY, MOST_ON_DISK
from relu_layers.sources.csv_file import CsvNotes, TextFoundError, csv_blocks
from relu_layers.sources.csv_form import SUFFIXES as CSV_SUFFIXES
from relu_layers.sources.csv_form import CsvForm, suffix_of

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Columns: TypeAlias = dict[str, Array]
BLOCKWISE = (".arrow", ".csv", ".feather", ".parquet", ".tsv", ".csv.gz", ".tsv.gz")
SUFFIXES = (*BLOCKWISE, ".h5", ".hdf5", ".npz")


def table_blocks(
    path: Path,
    text: Collection[str] = (),
    columns: Collection[str] | None = None,
    most: int = MOST_ON_DISK,
    form: CsvForm | None = None,
    notes: CsvNotes | None = None,
    content: bytes | None = None,
) -> Iterator[Columns]:
    """Yield the rows of a CSV, Parquet or Arrow file block by block, at least one block, perhaps without rows.

    ``text`` names columns to give as text even where they look like numbers, ``columns`` those that are wanted.
    A file that unpacks to more than ``most`` times its size is refused. ``form``, ``notes`` and ``content`` are
    those of `csv_blocks`.
    """
    suffix = suffix_of(path)
    if content is not None or suffix in CSV_SUFFIXES:
        yield from csv_blocks(path, text, columns, form, notes, content, most)
        return
    for block in columnar_blocks(path, suffix, columns, most):
        yield {name: named(name, values) if name in text else values for name, values in block.items()}


def named(name: str, values: Any) -> Array:
    """Return a column as text: 1234.0 becomes 1234, what is missing the empty text."""
    return as_text(as_column(name, values))


def with_text_found(text: set[str], read: Callable[[], Any], notes: list[str] | None = None) -> Any:
    """Return ``read()``, done again with more names in ``text`` as long as columns turn out to be text."""
    while True:
        try:
            return read()
        except TextFoundError as error:
            for name, cell, row, beside_numbers in error.found:
                text.add(name)
                if beside_numbers and notes is not None:
                    notes.append(f"column {name!r} is read as text because of {cell!r} in row {row}")


def read_columns(
    path: Path,
    text: Collection[str],
    notes: list[str],
    form: CsvForm | None = None,
    found: CsvNotes | None = None,
    content: bytes | None = None,
) -> Columns:
    """Return all columns of a file; a column that is text although it holds numbers too adds to ``notes``.

    ``form``, ``found`` and ``content`` are those of `csv_blocks`.
    """
    suffix = suffix_of(path)
    if suffix in (".npz", ".h5", ".hdf5"):
        columns = _read_npz(path) if suffix == ".npz" else _read_hdf5(path)
        return {name: named(name, values) if name in text else values for name, values in columns.items()}
    names = set(text)
    blocks: list[Columns] = with_text_found(
        names,
        lambda: list(table_blocks(path, names, None, MOST_IN_MEMORY, form, found, content)),
        notes,
    )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _read_npz(path: Path) -> Columns:
    """Return the arrays of a .npz file: ``x`` of two or more dimensions is spread into columns x0, x1, ..."""
    return _spread(path, npz_arrays(path))


def _read_hdf5(path: Path) -> Columns:
    """Return the data sets of the root group of an HDF5 file, wide ones spread as those of a .npz file."""
    return _spread(path, hdf5_arrays(path))


def _spread(path: Path, arrays: Columns) -> Columns:
    columns: Columns = {}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(f"{path}: array {name!r} is a single value, expected one value or row per row")
        if array.size == 0 and len(array):
            raise ValueError(f"{path}: array {name!r} has {len(array)} rows of nothing")
        wide = array.reshape(len(array), -1) if array.ndim > 1 else None
        spread = (
            {name: array}
            if wide is None
            else {f"{name}{index}": wide[:, index] for index in range(wide.shape[1])}
        )
        for column, values in spread.items():
            if column in columns:
                raise ValueError(f"{path}: two columns are called {column!r}, one of them of a wide array")
            columns[column] = values
    _refuse_unequal(path, columns)
    return columns


def _refuse_unequal(path: Path, columns: Columns) -> None:
    rows = {name: len(values) for name, values in columns.items()}
    if len(set(rows.values())) > 1:
        lengths = ", ".join(f"{name} {count}" for name, count in list(rows.items())[:6])
        raise ValueError(f"{path}: the arrays have different numbers of rows: {lengths}")
