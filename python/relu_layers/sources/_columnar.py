"""Parquet and Arrow files, read by polars or pyarrow, first in a process of their own.

Both libraries are compiled. Over a damaged file polars raises a panic, which is no `Exception`, or aborts the process:
one Parquet file in seventy with three changed bytes did that. So another process reads each file once before this one
does. That takes a third of a second for the first file, and the time of the reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers._files.damage import NamedFileError, damage_as_value_error
from relu_layers._support.extras import how_to_install
from relu_layers._support.files import check_regular
from relu_layers.sources._reading_process import failure_of_reading, path_of
from relu_layers.sources._sizes import refuse_too_large
from relu_layers.sources.csv_file import chosen_names

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Columns: TypeAlias = dict[str, Array]

_BLOCK_BYTES = 32 * 2**20


def columnar_blocks(path: Path, suffix: str, columns: Collection[str] | None, most: int) -> Iterator[Columns]:
    """Yield the rows of a Parquet (``.parquet``) or Arrow file block by block, at least one block.

    Parameters
    ----------
    path : Path
    suffix : str
        ``.parquet``, or one of an Arrow file.
    columns : collection of str or None
        Those that are wanted.
    most : int
        How many times its own size the file may unpack to.

    Raises
    ------
    ValueError
        The file is damaged, or lacks a column.
    ImportError
        Neither polars nor pyarrow is installed.
    """
    check_regular(path)
    _require_library(suffix)
    failure = failure_of_reading(
        "relu_layers.sources._columnar:check",
        path,
        suffix=suffix,
        columns=None if columns is None else sorted(columns),
        most=most,
    )
    if failure is not None:
        raise NamedFileError(
            failure if str(path) in failure else f"{path} is not {_kind(suffix)} file: {failure}"
        )
    yield from _blocks(path, suffix, columns, most)


def check(job: dict[str, Any]) -> None:
    """Read a whole file, as `failure_of_reading` asks it of another process."""
    for _ in _blocks(path_of(job), job["suffix"], job["columns"], job["most"]):
        pass


def _blocks(path: Path, suffix: str, columns: Collection[str] | None, most: int) -> Iterator[Columns]:
    blocks = _frames_of_polars if _require_library(suffix) == "polars" else _frames_of_pyarrow
    with damage_as_value_error(f"{path} is not {_kind(suffix)} file"):
        yield from blocks(path, suffix, columns, most)


def _require_library(suffix: str) -> str:
    """Return the name of the library that reads these files."""
    from importlib.util import find_spec

    for name in ("polars", "pyarrow"):
        if find_spec(name) is not None:
            return name
    raise ImportError(f"{_kind(suffix)} file needs polars: {how_to_install('data')}")


def _kind(suffix: str) -> str:
    return "a Parquet" if suffix == ".parquet" else "an Arrow"


def _frames_of_polars(
    path: Path, suffix: str, columns: Collection[str] | None, most: int
) -> Iterator[Columns]:
    import polars

    panic = getattr(polars.exceptions, "PanicException", polars.exceptions.PolarsError)
    scan = polars.scan_parquet if suffix == ".parquet" else polars.scan_ipc
    try:
        frame = scan(path)
        names = frame.collect_schema().names()
        wanted = chosen_names(path, names, columns)
        frame = frame.select(wanted)
        total = frame.select(polars.len()).collect().item() if wanted else 0
        refuse_too_large(8 * total * len(wanted), path.stat().st_size, most)
        rows = max(_BLOCK_BYTES // (8 * max(len(wanted), 1)), 1024)
        for start in range(0, max(total, 1), rows):
            block = frame.slice(start, rows).collect()
            if len(block) != min(rows, total - start):
                raise ValueError(f"it has fewer rows than the {total} that it claims")
            yield {series.name: _series(series) for series in block.get_columns()}
    except panic as error:
        raise ValueError(str(error)) from None


def _series(series: Any) -> Array:
    """Return a polars column without going through Python objects where it holds numbers."""
    if series.dtype.is_numeric() and not series.dtype.is_decimal():
        array: Array = series.cast(float).to_numpy() if series.null_count() else series.to_numpy()
        return array
    return np.array(series.to_list(), dtype=object)


def _frames_of_pyarrow(
    path: Path, suffix: str, columns: Collection[str] | None, most: int
) -> Iterator[Columns]:
    from pyarrow import ipc, parquet

    empty = True
    if suffix == ".parquet":
        source = parquet.ParquetFile(path)
        names = source.schema_arrow.names
        refuse_too_large(8 * source.metadata.num_rows * len(names), path.stat().st_size, most)
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
