"""CSV files in blocks of columns, each numbers if every value is one, else text."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np

from relu_layers._files.damage import NamedFileError
from relu_layers._support.arguments import nearest
from relu_layers._support.files import open_regular
from relu_layers.sources._sizes import MOST_ON_DISK, refuse_too_large
from relu_layers.sources.csv_form import (
    CsvForm,
    FormError,
    dialect,
    encoding_of,
    likely_encoding,
    lines_of,
    separator_of,
    suffix_of,
)
from relu_layers.sources.csv_numbers import is_number, office_numbers, real, whole

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_BLOCK_ROWS = 8192
_BLOCK_CELLS = 2**20
# Of the beginning of a file: enough to see its form.
_LOOKED_AT = 2**16


class TextFoundError(Exception):
    """Columns hold text and are to be read again as such: of each name, cell, row, whether it holds numbers too."""

    def __init__(self, found: list[tuple[str, str, int, bool]]) -> None:
        super().__init__(found)
        self.found = found


class CsvNotes:
    """What a reading met: how numbers are written by column, marks of missing values, doubts about the first line.

    Attributes
    ----------
    written : dict of str to str
        Columns of numbers with currencies, percentages or groups of thousands, and a cell of each.
    marks : set of str
        The texts other than the empty one that were missing values.
    infinite : set of str
        The cells that are infinite numbers.
    names : list of str
        The column names, as the first line gives them.
    separator : str
        The one that was found, or given.
    """

    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        self.marks: set[str] = set()
        self.infinite: set[str] = set()
        self.names: list[str] = []
        self.separator = ","


def csv_blocks(
    path: Path,
    text: Collection[str],
    columns: Collection[str] | None = None,
    form: CsvForm | None = None,
    notes: CsvNotes | None = None,
    content: bytes | None = None,
    most: int = MOST_ON_DISK,
) -> Iterator[dict[str, Array]]:
    """Yield the rows of a CSV file block by block: int64, float64 (missing is NaN) or text (missing is "").

    The first line names the columns, ``form`` says how the file is written. Cells are stripped of blanks. ``text``
    names columns that are text, ``columns`` those that are wanted. ``notes`` collects what a reader should know.
    ``content`` are the bytes of a file that cannot be read twice; ``path`` is its name then. A
    compressed file that unpacks to more than ``most`` times its size is refused.

    Raises TextFoundError for text in another column, and ValueError for an empty file, doubled or empty column
    names, a line with another number of cells, and bytes of another encoding.
    """
    form, notes = form or CsvForm(), notes or CsvNotes()
    try:
        with _opened(path, content, most) as file:
            beginning = file.read(_LOOKED_AT)
            encoding = form.encoding or encoding_of(beginning)
            file.seek(0)
            with io.TextIOWrapper(file, encoding=_without_mark(encoding), newline="") as stream:
                separator = notes.separator = _prepared(stream, form, path)
                reader = csv.reader(lines_of(stream, separator), strict=True, **dialect(separator))
                rows = _rows(path, reader, notes, form)
                names = next(rows)
                wanted = chosen_names(path, names, columns)
                kinds = {name: name in text for name in wanted}
                at_once = min(max(_BLOCK_CELLS // len(names), 1), _BLOCK_ROWS)
                begin = 0
                while block := list(itertools.islice(rows, at_once)):
                    yield _block(names, kinds, block, begin, form, notes)
                    begin += len(block)
                if not begin:
                    yield {name: np.empty(0) for name in wanted}
    except UnicodeError as error:
        raise _undecoded(path, encoding, beginning, error, form) from error
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _opened(path: Path, content: bytes | None, most: int) -> BinaryIO:
    """Return the bytes of a file, unpacked if they are compressed, or those that were read before."""
    if content is not None:
        return io.BytesIO(content)
    file = open_regular(path)
    return cast(BinaryIO, _Unpacked(file, path, most)) if suffix_of(path).endswith(".gz") else file


class _Unpacked(gzip.GzipFile):
    """The unpacked content of an open file, which is closed with it, up to ``most`` times the size of the file."""

    def __init__(self, file: BinaryIO, path: Path, most: int) -> None:
        super().__init__(fileobj=file, mode="rb")
        self.myfileobj = cast(Any, file)
        self._stored, self._most = path.stat().st_size, most

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes; a ValueError where they become too many."""
        found: bytes = super().read1(size)
        refuse_too_large(self.tell(), self._stored, self._most)
        return found


def _without_mark(encoding: str) -> str:
    """Return the encoding that leaves a mark at the beginning of UTF-8 out."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _prepared(stream: io.TextIOWrapper, form: CsvForm, path: Path) -> str:
    """Return the separator, and leave the stream where the table begins.

    A first line ``sep=;``, which spreadsheets write and read, is no part of the table.
    """
    sample = stream.read(_LOOKED_AT)
    stream.seek(0)
    first = sample.partition("\n")[0].rstrip("\r")
    if first.lower().startswith("sep=") and len(first) == len("sep=;"):
        stream.readline()
        return form.separator or first[-1]
    tabs = suffix_of(path).startswith(".tsv")
    return form.separator or separator_of(sample, len(sample) < _LOOKED_AT, tabs)


def _undecoded(path: Path, encoding: str, beginning: bytes, error: UnicodeError, form: CsvForm) -> ValueError:
    """Return the error for bytes of another encoding, with a guess which one it is."""
    place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
    name = "UTF-8" if encoding.startswith("utf-8") else encoding
    problem = f"{path} is not a {name} text file{place}"
    if form.encoding is not None:
        return ValueError(f"{problem}: its encoding is another one")
    return FormError(problem, "encoding", likely_encoding(beginning))


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


def _header(path: Path, cells: list[str], form: CsvForm) -> list[str]:
    if not form.header:
        return _numbered(cells)
    names = [" ".join(part.strip() for part in cell.split("\n")).strip() for cell in cells]
    if not any(names):
        raise ValueError(
            f"{path} is empty, expected a line of column names" if not names else _unnamed(path, 1)
        )
    if "" in names and not form.name_unnamed:
        raise ValueError(_unnamed(path, names.index("") + 1))
    names = [name or numbered for name, numbered in zip(names, _numbered(names), strict=True)]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problem = f"{path}: two columns are called {name!r}"
            if is_number(name):
                raise FormError(f"{problem} if the first line is one of names", "header", False)
            raise ValueError(problem)
        seen.add(name)
    return names


def _numbered(cells: Sequence[str]) -> list[str]:
    """Return the names of columns that have none."""
    return [f"column{place}" for place in range(1, len(cells) + 1)]


def _unnamed(path: Path, column: int) -> str:
    return f"{path}: column {column} has no name in the first line (a row index? write the file without it)"


def _rows(path: Path, reader: Any, notes: CsvNotes, form: CsvForm) -> Iterator[list[str]]:
    """Yield the names, then the rows, stripped; blank lines are skipped unless there is one column only."""
    first: list[str] = next(reader, [])
    names = _header(path, first, form)
    notes.names = [cell.strip() for cell in first] if form.header else []
    if not names:
        raise ValueError(f"{path} is empty, expected rows")
    yield names
    if not form.header:
        yield [cell.strip() for cell in first]
    for row in reader:
        if len(row) != len(names):
            if not row:
                continue
            raise ValueError(
                f"{path}, line {reader.line_num}: {len(row)} cells, "
                f"but the first line {'names' if form.header else 'has'} {len(names)} columns"
            )
        yield [cell.strip() for cell in row]


def _block(
    names: Sequence[str],
    kinds: dict[str, bool],
    rows: list[list[str]],
    begin: int,
    form: CsvForm,
    notes: CsvNotes,
) -> dict[str, Array]:
    """Return the columns of some rows, of those names that ``kinds`` has: text where it says True."""
    block: dict[str, Array] = {}
    found = []
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        if name not in kinds:
            continue
        gaps = [form.is_missing(cell) for cell in cells]
        notes.marks.update(cell for cell, gap in zip(cells, gaps, strict=True) if gap and cell)
        if kinds[name]:
            texts = ["" if gap else cell for cell, gap in zip(cells, gaps, strict=True)]
            block[name] = np.array(texts, dtype=np.dtypes.StringDType())
            continue
        try:
            block[name] = _numbers(name, cells, gaps, begin, form, notes)
        except TextFoundError as error:
            found += error.found
    if found:
        raise TextFoundError(found)
    return block


def _numbers(
    name: str, cells: tuple[str, ...], gaps: list[bool], begin: int, form: CsvForm, notes: CsvNotes
) -> Array:
    """Return int64 where every cell is a whole number, float64 where every cell is a number or missing.

    ``begin`` is the number of rows before these cells, for the note on text.
    """
    present = [cell for cell, gap in zip(cells, gaps, strict=True) if not gap]
    try:
        column = _plain(cells, gaps, form.decimal or ".")
        if column.dtype.kind == "f":
            notes.infinite.update(cells[row] for row in np.flatnonzero(np.isinf(column)))
        return column
    except ValueError:
        pass
    decimal = form.decimal or "."
    written = office_numbers(present, decimal, form.decimal is not None or notes.separator == ",")
    if written is not None:
        values, shown = written
        if shown:
            notes.written.setdefault(name, shown)
        column = np.full(len(cells), np.nan)
        column[~np.array(gaps, dtype=bool)] = values
        return column
    numeric = [gap or is_number(cell, decimal) for cell, gap in zip(cells, gaps, strict=True)]
    # Each cell may be a number of its own way of writing: then the first stands for all.
    row = numeric.index(False) if False in numeric else gaps.index(False)
    beside_numbers = bool(begin) or any(one and not gap for one, gap in zip(numeric, gaps, strict=True))
    raise TextFoundError([(name, cells[row], begin + row + 1, beside_numbers)])


def _plain(cells: tuple[str, ...], gaps: list[bool], decimal: str) -> Array:
    """Return the numbers that Python writes so too, with a comma for the point; a ValueError for others."""
    if not any(gaps):
        try:
            return np.array([whole(cell) for cell in cells], dtype=np.int64)
        except (ValueError, OverflowError):
            pass
    if decimal == ",":
        if any("." in cell and not gap for cell, gap in zip(cells, gaps, strict=True)):
            raise ValueError("a point, which groups thousands here")
        cells = tuple(cell.replace(",", ".") for cell in cells)
    return np.array(
        [np.nan if gap else real(cell) for cell, gap in zip(cells, gaps, strict=True)], dtype=np.float64
    )
