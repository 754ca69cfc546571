"""CSV files in blocks of columns, each numbers if every value is one, else text."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers._files.damage import NamedFileError
from relu_layers._support.arguments import nearest
from relu_layers._support.files import open_regular

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_BLOCK_ROWS = 8192
_BLOCK_CELLS = 2**20
# Of the first line: enough to see what is between its names.
_LOOKED_AT = 2**16
_DELIMITERS = ",;\t|"


class TextFoundError(Exception):
    """Columns hold text and are to be read again as such: of each name, cell, row, whether it holds numbers too."""

    def __init__(self, found: list[tuple[str, str, int, bool]]) -> None:
        super().__init__(found)
        self.found = found


def csv_blocks(
    path: Path, text: Collection[str], columns: Collection[str] | None = None
) -> Iterator[dict[str, Array]]:
    """Yield the rows of a CSV file block by block: int64, float64 (missing is NaN) or text (missing is "").

    The first line names the columns. The delimiter (comma, semicolon, tab or bar) is the one it has most of.
    Cells are stripped of blanks. Empty cells and NA, N/A, NaN, null, None and ? are missing. ``text`` names
    columns that are text, ``columns`` those that are wanted.

    Raises TextFoundError for text in another column, and ValueError for an empty file, doubled or empty column
    names, a line with another number of cells, and bytes that are not UTF-8.
    """
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as stream:
            first = stream.readline(_LOOKED_AT)
            stream.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            names = _header(path, next(reader, []))
            wanted = chosen_names(path, names, columns)
            kinds = {name: name in text for name in wanted}
            rows = _rows(path, reader, names)
            at_once = min(max(_BLOCK_CELLS // len(names), 1), _BLOCK_ROWS)
            begin = 0
            while block := list(itertools.islice(rows, at_once)):
                yield _block(names, kinds, block, begin)
                begin += len(block)
            if not begin:
                yield {name: np.empty(0) for name in wanted}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a UTF-8 text file (byte {error.start})") from error
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from error


def chosen_names(path: Path, names: Sequence[str], columns: Collection[str] | None) -> list[str]:
    """Return the names of the wanted columns in the order of the file; raise a ValueError for one it lacks."""
    known, wanted = set(names), None if columns is None else set(columns)
    for name in columns or ():
        if name not in known:
            raise NamedFileError(unknown(path, "column", name, names))
    return [name for name in names if wanted is None or name in wanted]


def unknown(path: Path, what: str, name: str, names: Iterable[str]) -> str:
    """Return the message for something that is not in a file."""
    known = list(names)
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"{path} has no {what} {name!r}{nearest(name, known)}; it has: {shown or 'none'}"


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise ValueError(
            f"{path} is empty, expected a line of column names" if not names else _unnamed(path, 1)
        )
    if "" in names:
        raise ValueError(_unnamed(path, names.index("") + 1))
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{path}: two columns are called {name!r}")
        seen.add(name)
    return names


def _unnamed(path: Path, column: int) -> str:
    return f"{path}: column {column} has no name in the first line (a row index? write the file without it)"


def _rows(path: Path, reader: Any, names: list[str]) -> Iterator[list[str]]:
    """Yield the rows, stripped; blank lines are skipped unless there is one column only."""
    for row in reader:
        if len(row) != len(names):
            if not row:
                continue
            raise ValueError(
                f"{path}, line {reader.line_num}: {len(row)} cells, "
                f"but the first line names {len(names)} columns"
            )
        yield [cell.strip() for cell in row]


def _block(
    names: Sequence[str], kinds: dict[str, bool], rows: list[list[str]], begin: int
) -> dict[str, Array]:
    """Return the columns of some rows, of those names that ``kinds`` has: text where it says True."""
    block: dict[str, Array] = {}
    found = []
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        if name not in kinds:
            continue
        try:
            block[name] = _texts(cells) if kinds[name] else _numbers(name, cells, begin)
        except TextFoundError as error:
            found += error.found
    if found:
        raise TextFoundError(found)
    return block


def _numbers(name: str, cells: tuple[str, ...], begin: int) -> Array:
    """Return int64 where every cell is a whole number, float64 where every cell is a number or missing.

    ``begin`` is the number of rows before these cells, for the note on text.
    """
    gaps = [cell.lower() in MISSING for cell in cells]
    filled = ["nan" if gap else cell for gap, cell in zip(gaps, cells, strict=True)]
    if not any(gaps):
        try:
            return np.array([_whole(cell) for cell in filled], dtype=np.int64)
        except (ValueError, OverflowError):
            pass
    try:
        return np.array([_real(cell) for cell in filled], dtype=np.float64)
    except ValueError:
        numeric = [_is_number(cell) for cell in filled]
        row = numeric.index(False)
        beside_numbers = bool(begin) or any(one and not gap for one, gap in zip(numeric, gaps, strict=True))
        raise TextFoundError([(name, cells[row], begin + row + 1, beside_numbers)]) from None


def _is_number(cell: str) -> bool:
    try:
        _real(cell)
    except ValueError:
        return False
    return True


def _whole(cell: str) -> int:
    if "_" in cell:
        raise ValueError(cell)
    return int(cell)


def _real(cell: str) -> float:
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _texts(cells: tuple[str, ...]) -> Array:
    return np.array(
        ["" if cell.lower() in MISSING else cell for cell in cells], dtype=np.dtypes.StringDType()
    )
