"""Files of named columns: read block by block, or whole."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers.sources.csv_file import TextFoundError, chosen_names, csv_blocks

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Columns: TypeAlias = dict[str, Array]
BLOCKWISE = (".arrow", ".csv", ".feather", ".parquet", ".tsv")
SUFFIXES = (*BLOCKWISE, ".h5", ".hdf5", ".npz")
_BLOCK_BYTES = 32 * 2**20
_TEXT = np.dtypes.StringDType()


def table_blocks(
    path: Path, text: Collection[str] = (), columns: Collection[str] | None = None
) -> Iterator[Columns]:
    """Yield the rows of a CSV, Parquet or Arrow file block by block, at least one block, perhaps without rows.

    ``text`` names columns to give as text even where they look like numbers, ``columns`` those that are wanted.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from csv_blocks(path, text, columns)
        return
    blocks = _frames_of_polars if _has_polars() else _frames_of_pyarrow
    for block in blocks(path, suffix, columns):
        yield {name: values.astype(_TEXT) if name in text else values for name, values in block.items()}


def with_text_found(text: set[str], read: Callable[[], Any], notes: list[str] | None = None) -> Any:
    """Return ``read()``, done again with one more name in ``text`` for each column that turns out to be text."""
    while True:
        try:
            return read()
        except TextFoundError as found:
            name, cell, row, beside_numbers = found.args
            text.add(name)
            if beside_numbers and notes is not None:
                notes.append(f"column {name!r} is read as text because of {cell!r} in row {row}")


def read_columns(path: Path, text: Collection[str], notes: list[str]) -> Columns:
    """Return all columns of a file; a column that is text although it holds numbers too adds to ``notes``."""
    suffix = path.suffix.lower()
    if suffix in (".npz", ".h5", ".hdf5"):
        columns = _read_npz(path) if suffix == ".npz" else _read_hdf5(path)
        return {name: values.astype(_TEXT) if name in text else values for name, values in columns.items()}
    as_text = set(text)
    blocks: list[Columns] = with_text_found(as_text, lambda: list(table_blocks(path, as_text)), notes)
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _has_polars() -> bool:
    try:
        import polars  # noqa: F401
    except ImportError:
        return False
    return True


def _kind(suffix: str) -> str:
    return "a Parquet" if suffix == ".parquet" else "an Arrow"


def _frames_of_polars(path: Path, suffix: str, columns: Collection[str] | None) -> Iterator[Columns]:
    import polars

    scan = polars.scan_parquet if suffix == ".parquet" else polars.scan_ipc
    try:
        frame = scan(path)
        names = frame.collect_schema().names()
        wanted = chosen_names(path, names, columns)
        frame = frame.select(wanted)
        total = frame.select(polars.len()).collect().item() if wanted else 0
        rows = max(_BLOCK_BYTES // (8 * max(len(wanted), 1)), 1024)
        for start in range(0, max(total, 1), rows):
            block = frame.slice(start, rows).collect()
            yield {series.name: _series(series) for series in block.get_columns()}
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path} is not {_kind(suffix)} file: {_first_line(error)}") from error


def _series(series: Any) -> Array:
    """Return a polars column without going through Python objects where it holds numbers."""
    if series.dtype.is_numeric() and not series.dtype.is_decimal():
        array: Array = series.cast(float).to_numpy() if series.null_count() else series.to_numpy()
        return array
    return np.array(series.to_list(), dtype=object)


def _frames_of_pyarrow(path: Path, suffix: str, columns: Collection[str] | None) -> Iterator[Columns]:
    try:
        from pyarrow import ArrowException, ipc, parquet
    except ImportError as error:
        raise ImportError(f'{_kind(suffix)} file needs polars: pip install "relu_layers[data]"') from error
    try:
        empty = True
        if suffix == ".parquet":
            source = parquet.ParquetFile(path)
            names = source.schema_arrow.names
            batches = source.iter_batches(columns=chosen_names(path, names, columns))
        else:
            source = ipc.open_file(path)
            names = source.schema.names
            batches = (source.get_batch(index) for index in range(source.num_record_batches))
        wanted = chosen_names(path, names, columns)
        for batch in batches:
            empty = False
            yield {name: np.array(batch.column(name).to_pylist(), dtype=object) for name in wanted}
        if empty:
            yield {name: np.empty(0) for name in wanted}
    except ArrowException as error:
        raise ValueError(f"{path} is not {_kind(suffix)} file: {_first_line(error)}") from error


def _read_npz(path: Path) -> Columns:
    """Return the arrays of a .npz file: ``x`` of two or more dimensions is spread into columns x0, x1, ..."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive")
        with np.load(path, allow_pickle=False) as archive:
            columns = _spread({name: archive[name] for name in archive.files})
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path} is not a .npz file of plain arrays: {error}") from error
    _refuse_unequal(path, columns)
    return columns


def _read_hdf5(path: Path) -> Columns:
    """Return the data sets of the root group of an HDF5 file, wide ones spread as those of a .npz file."""
    from relu_layers.sources._archives import open_hdf5

    with open_hdf5(path) as file:
        found = {}
        for name, item in file.items():
            if not hasattr(item, "dtype"):
                continue
            text = item.dtype.kind in "OS"
            found[name] = np.array([one.decode() for one in item[()].ravel()], _TEXT) if text else item[()]
        try:
            columns = _spread(found)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    _refuse_unequal(path, columns)
    return columns


def _spread(arrays: Columns) -> Columns:
    columns: Columns = {}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(f"array {name!r} is a single value, expected one value or row per row")
        if array.ndim == 1:
            columns[name] = array
            continue
        wide = array.reshape(len(array), -1)
        columns.update({f"{name}{index}": wide[:, index] for index in range(wide.shape[1])})
    return columns


def _refuse_unequal(path: Path, columns: Columns) -> None:
    rows = {name: len(values) for name, values in columns.items()}
    if len(set(rows.values())) > 1:
        lengths = ", ".join(f"{name} {count}" for name, count in list(rows.items())[:6])
        raise ValueError(f"{path}: the arrays have different numbers of rows: {lengths}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
