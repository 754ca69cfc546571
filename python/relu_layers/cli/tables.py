"""Data files and built-in data sets as tables: columns by name, numbers or text, missing values visible."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.files import check_regular
from relu_layers.data import two_moons, xor
from relu_layers.preprocessing.columns import is_text

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
BUILT_IN = ("digits", "two-moons", "xor")


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name; ``target`` is the target's name where the data names it.

    ``notes`` are for the user; of a text file ``marks`` are the texts that counted as missing, ``infinite``
    those that are infinite numbers, and ``first_line`` its names as they stand there.
    """

    name: str
    columns: dict[str, Array]
    target: str | None = None
    notes: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()
    infinite: frozenset[str] = frozenset()
    first_line: tuple[str, ...] = ()
    is_text_file: bool = False

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def column(self, name: str) -> Array:
        """Return a column; an unknown name is a ValueError that lists the nearest or all names."""
        if name in self.columns:
            return self.columns[name]
        hint = nearest(name, self.columns)
        names = ", ".join(list(self.columns)[:12]) + (", ..." if len(self.columns) > 12 else "")
        raise ValueError(f"{self.name} has no column {name!r}{hint}; its columns: {names}")

    def without(self, names: Collection[str]) -> dict[str, Array]:
        """Return the columns except some."""
        return {name: values for name, values in self.columns.items() if name not in names}

    def take(self, rows: Array) -> Table:
        """Return the table of some rows."""
        return replace(self, columns={name: values[rows] for name, values in self.columns.items()})


def load_table(
    source: str,
    *,
    text: Collection[str] = (),
    rng: np.random.Generator | None = None,
    form: CsvForm | None = None,
    content: bytes | None = None,
) -> Table:
    """Return a built-in data set or the content of a file, or of the standard input for ``-``, which is CSV.

    ``text`` names columns to read as text even where they look like numbers; ``rng`` draws two-moons; ``form`` says
    how a text file is written; ``content`` is what `standard_input` gave, if it is to be read again.
    """
    if source in BUILT_IN:
        return _built_in(source, rng or np.random.default_rng(0))
    from relu_layers.sources.csv_file import CsvNotes
    from relu_layers.sources.csv_form import SUFFIXES as CSV_SUFFIXES
    from relu_layers.sources.csv_form import suffix_of
    from relu_layers.sources.tables import read_columns

    notes: list[str] = []
    found = CsvNotes()
    content = standard_input(source) if content is None else content
    path = Path("standard input") if source == "-" else _existing(source)
    columns = read_columns(path, text, notes, form, found, content)
    if not columns:
        raise ValueError(f"{source} has no columns")
    suffix = suffix_of(path)
    of_arrays = suffix in (".npz", ".h5", ".hdf5")
    notes += [
        f"column {name!r} is read as numbers, {cell!r} as {office_value(cell, form):g}"
        for name, cell in found.written.items()
        if not is_text(columns[name])
    ]
    notes += [f"left out {count:,} {what}" for what, count in found.left_out.items()]
    table = Table(
        path.name,
        columns,
        "y" if of_arrays and "y" in columns else None,
        tuple(notes),
        frozenset(found.marks),
        frozenset(found.infinite),
        tuple(found.names),
        content is not None or suffix in CSV_SUFFIXES,
    )
    if not table.rows:
        raise ValueError(f"{path} has column names but no rows")
    return table


def standard_input(source: str) -> bytes | None:
    """Return what comes from the standard input if that is the source."""
    return sys.stdin.buffer.read() if source == "-" else None


def office_value(cell: str, form: CsvForm | None) -> float:
    """Return the number that a cell with marks stands for."""
    from relu_layers.sources.csv_numbers import office_number

    found = office_number(cell, (form and form.decimal) or ".")
    assert found is not None
    return found[0]


def _existing(source: str) -> Path:
    """Return the path of a file that can be read as a table."""
    from relu_layers.sources.csv_form import suffix_of
    from relu_layers.sources.tables import SUFFIXES

    path = Path(source)
    if suffix_of(path) not in SUFFIXES:
        hint = nearest(source, BUILT_IN)
        raise ValueError(
            f"{source!r} is neither {', '.join(BUILT_IN)} nor a file of "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}{hint}"
        )
    if path.is_dir():
        raise ValueError(f"{source} is a folder, expected a file")
    if path.exists():
        check_regular(path)
        return path
    folder = path.parent
    files = [str(folder / entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    raise ValueError(f"{source}: no such file{nearest(str(path), files)}")


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
