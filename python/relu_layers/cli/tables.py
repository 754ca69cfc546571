"""Data files and built-in data sets as tables: columns by name, numbers or text, missing values visible."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.files import check_regular
from relu_layers.data import two_moons, xor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
BUILT_IN = ("digits", "two-moons", "xor")


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name; ``target`` is the target's name where the data names it."""

    name: str
    columns: dict[str, Array]
    target: str | None = None
    notes: tuple[str, ...] = ()

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
        return Table(self.name, {name: values[rows] for name, values in self.columns.items()}, self.target)


def load_table(source: str, *, text: Collection[str] = (), rng: np.random.Generator | None = None) -> Table:
    """Return a built-in data set or the content of a file.

    ``text`` names columns to read as text even where they look like numbers; ``rng`` draws two-moons.
    """
    if source in BUILT_IN:
        return _built_in(source, rng or np.random.default_rng(0))
    path = Path(source)
    notes: list[str] = []
    from relu_layers.sources.tables import SUFFIXES, read_columns

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        hint = nearest(source, BUILT_IN)
        raise ValueError(
            f"{source!r} is neither {', '.join(BUILT_IN)} nor a file of "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}{hint}"
        )
    if path.is_dir():
        raise ValueError(f"{source} is a folder, expected a file")
    if path.exists():
        check_regular(path)
    else:
        folder = path.parent
        files = [str(folder / entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
        raise ValueError(f"{source}: no such file{nearest(str(path), files)}")
    columns = read_columns(path, text, notes)
    if not columns:
        raise ValueError(f"{source} has no columns")
    of_arrays = suffix in (".npz", ".h5", ".hdf5")
    table = Table(path.name, columns, "y" if of_arrays and "y" in columns else None, tuple(notes))
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
