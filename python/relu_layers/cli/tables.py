"""Data files and built-in data sets as tables: columns by name, numbers or text, missing values visible."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers import _checks
from relu_layers.cli.csv_file import read_csv
from relu_layers.data import two_moons, xor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
BUILT_IN = ("digits", "two-moons", "xor")


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name; ``target`` is the target's name where the data itself tells it."""

    name: str
    columns: dict[str, Array]
    target: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def column(self, name: str) -> Array:
        """Return a column; an unknown name is a ValueError that tells the nearest or all names."""
        if name in self.columns:
            return self.columns[name]
        hint = _checks.nearest(name, self.columns)
        names = ", ".join(list(self.columns)[:12]) + (", ..." if len(self.columns) > 12 else "")
        raise ValueError(f"{self.name} has no column {name!r}{hint}; its columns: {names}")

    def without(self, names: Collection[str]) -> dict[str, Array]:
        """Return the columns except some."""
        return {name: values for name, values in self.columns.items() if name not in names}

    def take(self, rows: Array) -> Table:
        """Return the table of some rows."""
        return Table(self.name, {name: values[rows] for name, values in self.columns.items()}, self.target)


def load_table(source: str, *, text: Collection[str] = (), rng: np.random.Generator | None = None) -> Table:
    """Return a built-in data set or the content of a file.

    ``text`` names columns to read as text even where they look like numbers; ``rng`` draws two-moons.
    """
    if source in BUILT_IN:
        return _built_in(source, rng or np.random.default_rng(0))
    path = Path(source)
    notes: list[str] = []
    readers: dict[str, Callable[[Path, Collection[str], list[str]], dict[str, Array]]] = {
        ".csv": read_csv,
        ".npz": _read_npz,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        hint = _checks.nearest(source, BUILT_IN)
        raise ValueError(
            f"{source!r} is neither {', '.join(BUILT_IN)} nor a .csv, .npz or .parquet file{hint}"
        )
    if path.is_dir():
        raise ValueError(f"{source} is a folder, expected a file")
    if not path.is_file():
        folder = path.parent
        files = [str(folder / entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
        raise ValueError(f"{source}: no such file{_checks.nearest(str(path), files)}")
    columns = reader(path, text, notes)
    if not columns:
        raise ValueError(f"{source} has no columns")
    table = Table(path.name, columns, "y" if reader is _read_npz and "y" in columns else None, tuple(notes))
    if not table.rows:
        raise ValueError(f"{source} has column names but no rows")
    return table


def _built_in(name: str, rng: np.random.Generator) -> Table:
    if name == "digits":
        from relu_layers.sklearn import load_digits

        x, y = load_digits()
        columns = {f"pixel{index}": x[:, index] for index in range(x.shape[1])}
        return Table(name, {**columns, "digit": y}, "digit")
    if name == "two-moons":
        x, moon = two_moons(1000, 0.2, rng)
        return Table(name, {"x": x[:, 0], "y": x[:, 1], "moon": moon}, "moon")
    corners, target = xor()
    return Table(name, {"a": corners[:, 0], "b": corners[:, 1], "xor": target[:, 0]}, "xor")


def _read_npz(path: Path, text: Collection[str], _notes: list[str]) -> dict[str, Array]:
    """Return the arrays of a .npz file: ``x`` of two or more dimensions is spread into columns x0, x1, ..."""
    columns: dict[str, Array] = {}
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive")
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                array = archive[name]
                if array.ndim == 0:
                    raise ValueError(f"array {name!r} is a single value, expected one value or row per row")
                if array.ndim == 1:
                    columns[name] = array
                    continue
                wide = array.reshape(len(array), -1)
                columns.update({f"{name}{index}": wide[:, index] for index in range(wide.shape[1])})
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path} is not a .npz file of plain arrays: {error}") from error
    rows = {name: len(values) for name, values in columns.items()}
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in list(rows.items())[:6])
        raise ValueError(f"{path}: the arrays have different numbers of rows: {told}")
    return {name: _as_text(values) if name in text else values for name, values in columns.items()}


def _as_text(values: Array) -> Array:
    return values.astype(np.dtypes.StringDType())


def _read_parquet(path: Path, text: Collection[str], _notes: list[str]) -> dict[str, Array]:
    """Return the columns of a Parquet file, read by polars or else pyarrow."""
    frame: Any
    try:
        import polars
    except ImportError:
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise ImportError('a Parquet file needs polars: pip install "relu_layers[data]"') from error
        try:
            frame = parquet.read_table(path)
        except ArrowException as error:
            raise ValueError(f"{path} is not a Parquet file: {_first_line(error)}") from error
        columns = {name: np.array(frame[name].to_pylist(), dtype=object) for name in frame.column_names}
    else:
        try:
            frame = polars.read_parquet(path)
        except polars.exceptions.PolarsError as error:
            raise ValueError(f"{path} is not a Parquet file: {_first_line(error)}") from error
        columns = {series.name: _series(series) for series in frame.get_columns()}
    return {name: _as_text(values) if name in text else values for name, values in columns.items()}


def _series(series: Any) -> Array:
    """Return a polars column without going through Python objects where it holds numbers."""
    if series.dtype.is_numeric() and not series.dtype.is_decimal():
        array: Array = series.cast(float).to_numpy() if series.null_count() else series.to_numpy()
        return array
    return np.array(series.to_list(), dtype=object)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
