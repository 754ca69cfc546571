"""CSV files in blocks of columns, each numbers if every value is one, else text."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers._files.damage import NamedFileError
from relu_layers._support.arguments import nearest
from relu_layers.sources._sizes import MOST_ON_DISK
from relu_layers.sources.csv_form import (
    CsvForm,
    FormError,
    dialect,
    encoding_of,
    likely_encoding,
    lines_of,
    suffix_of,
)
from relu_layers.sources.csv_layout import (
    MOST_AFTER,
    Layout,
    is_blank,
    is_comment,
    layout_of,
    only_comments,
    separator_of,
    without_last,
)
from relu_layers.sources.csv_lines import CsvLines, opened
from relu_layers.sources.csv_numbers import is_number, office_numbers, plain_numbers, real, whole
from relu_layers.sources.csv_quick import polars_for, quick_columns, quick_dtype

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_BLOCK_ROWS = 8192
# Enough to see that cells are plain numbers, which compiled code reads.
_FEW_ROWS = 256
_BLOCK_CELLS = 2**20
# Of text that is read ahead.
_MOST_CHARACTERS = 2**24
# Of the beginning of a file: enough to see its form.
_LOOKED_AT = 2**16
# Blocks that NumPy's reader may refuse until it is not asked again.
_MOST_REFUSED = 64


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
    left_out : dict of str to int
        Lines that are no rows, by what they are.
    """

    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        self.marks: set[str] = set()
        self.infinite: set[str] = set()
        self.names: list[str] = []
        self.separator = ","
        self.left_out: dict[str, int] = {}


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
        with opened(path, content, most) as file:
            size = path.stat().st_size if content is None else len(content)
            beginning = file.read(_LOOKED_AT)
            encoding = form.encoding or encoding_of(beginning)
            file.seek(0)
            with io.TextIOWrapper(file, encoding=_without_mark(encoding), newline="") as stream:
                try:
                    yield from _blocks_of(stream, path, text, columns, form, notes, size)
                except UnicodeDecodeError as error:
                    # What was decoded last ends where the reading of the file stands.
                    place = file.tell() - len(error.object) + error.start
                    raise _undecoded(path, encoding, beginning, f" (byte {place})", form) from error
    except UnicodeError as error:
        raise _undecoded(path, encoding, beginning, "", form) from error
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _blocks_of(
    stream: io.TextIOWrapper,
    path: Path,
    text: Collection[str],
    columns: Collection[str] | None,
    form: CsvForm,
    notes: CsvNotes,
    size: int,
) -> Iterator[dict[str, Array]]:
    """Yield the blocks of `csv_blocks` from the text of a file of ``size`` bytes."""
    separator, layout, before = _prepared(stream, form, path, notes)
    lines = CsvLines(without_last(iter(lines_of(stream, separator)), form.skip_footer or 0))
    reader = csv.reader(iter(lines), strict=True, **dialect(separator))
    first: list[str] = next((row for row in reader if not is_blank(row)), [])
    if layout.row_names and form.header and len(first) == layout.width - 1:
        first = ["", *first]
    names = _header(path, first, form)
    notes.names = [cell.strip() for cell in first] if form.header else []
    if not names:
        raise ValueError(f"{path} is empty, expected rows")
    wanted = chosen_names(path, names, columns)
    rows = itertools.chain([] if form.header else [first], _rows(path, reader, names, form, notes, before))
    table = _Table(names, {name: name in text for name in wanted}, form, notes)
    yield from _blocks(path, table, lines, rows, reader, before, polars_for(size))
    if not table.rows:
        yield {name: np.empty(0) for name in wanted}


def _without_mark(encoding: str) -> str:
    """Return the encoding that leaves a mark at the beginning of UTF-8 out."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _prepared(
    stream: io.TextIOWrapper, form: CsvForm, path: Path, notes: CsvNotes
) -> tuple[str, Layout, int]:
    """Return separator, layout and number of lines before the table, and leave the stream where it begins.

    A first line ``sep=;``, which spreadsheets write and read, is no part of the table, nor are comments before it.
    """
    sample, before = stream.read(_LOOKED_AT), form.skip_lines or 0
    complete = len(sample) < _LOOKED_AT
    stream.seek(0)
    first, _, rest = sample.partition("\n")
    first = first.rstrip("\r")
    said = form.separator
    if first.lower().startswith("sep=") and len(first) == len("sep=;"):
        stream.readline()
        sample, said = rest, said or first[-1]
        before += 1
    for _ in range(form.skip_lines or 0):
        sample = sample[len(stream.readline()) :]
    separator = said or separator_of(sample, complete, suffix_of(path).startswith(".tsv"))
    layout = layout_of(sample, complete, separator)
    notes.separator, notes.left_out = separator, {}
    if layout.before and form.skip_lines is None:
        if not only_comments(sample, layout.before):
            problem = f"{path}: the table begins in line {layout.before + 1}, after lines of fewer cells"
            raise FormError(problem, "skip_lines", layout.before)
        before += layout.before
        for _ in range(layout.before):
            stream.readline()
    return separator, layout, before


def _undecoded(path: Path, encoding: str, beginning: bytes, place: str, form: CsvForm) -> ValueError:
    """Return the error for bytes of another encoding at a ``place``, with a guess which one it is."""
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


def _rows(
    path: Path, reader: Any, names: Sequence[str], form: CsvForm, notes: CsvNotes, before: int
) -> Iterator[list[str]]:
    """Yield the rows after ``before`` lines.

    Blank lines are skipped unless there is one column only; comments, which are lines of other lengths that begin with
    #, and lines that repeat the names are counted.
    """
    first = notes.names[0] if notes.names and len(names) > 1 else None
    for row in reader:
        if len(row) == len(names) + 1 and not row[-1].strip():
            del row[-1]  # a separator at the end of the line
        if len(row) != len(names):
            if is_blank(row):
                continue
            if not is_comment(row):
                raise _ragged(path, before + reader.line_num, row, names, form, reader)
            notes.left_out["comments"] = notes.left_out.get("comments", 0) + 1
        elif row[0].strip() == first and [cell.strip() for cell in row] == notes.names:
            what = "lines that repeat the names"
            notes.left_out[what] = notes.left_out.get(what, 0) + 1
        else:
            yield row


def _ragged(
    path: Path, line: int, row: list[str], names: Sequence[str], form: CsvForm, reader: Iterator[list[str]]
) -> ValueError:
    """Return the error for a line of another length; short ones at the end may be no part of the table."""
    problem = (
        f"{path}, line {line}: {len(row)} cells, "
        f"but the first line {'names' if form.header else 'has'} {len(names)} columns"
    )
    rest = [row, *itertools.islice((row for row in reader if not is_blank(row)), MOST_AFTER)]
    longer = any(len(cells) >= len(names) for cells in rest)
    if form.skip_footer is not None or len(rest) > MOST_AFTER or longer:
        return ValueError(problem)
    return FormError(problem, "skip_footer", len(rest))


def _blocks(
    path: Path,
    table: _Table,
    lines: CsvLines,
    rows: Iterator[list[str]],
    reader: Any,
    before: int,
    polars: Any,
) -> Iterator[dict[str, Array]]:
    """Yield blocks of rows: from ``rows``, which take theirs from ``lines``, and in compiled code where that is enough.

    ``before`` lines were read before those. ``polars`` is that module, or None."""
    names, separator = table.names, table.notes.separator
    most = min(max(_BLOCK_CELLS // len(names), 1), _BLOCK_ROWS)
    block = list(itertools.islice(rows, min(_FEW_ROWS, most)))
    if len(block) < most and not table.is_plain(block):
        block += itertools.islice(rows, most - len(block))
    refused = 0
    while block:
        yield table.block(list(zip(*block, strict=True)))
        # One column may have blank lines, and blanks that separate cells are no part of any.
        if len(names) > 1 and separator != " " and refused < _MOST_REFUSED:
            by_row = sum(sum(map(len, row), len(row)) for row in block) / len(block)
            characters = min(int(most * by_row), _MOST_CHARACTERS)
            line = before + reader.line_num
            while table.dtype is not None:
                ahead = lines.ahead(most, characters)
                if not ahead:
                    return
                quick = quick_columns(ahead, table.dtype, separator, polars)
                if quick is None:
                    refused += 1
                    before = line
                    lines.put_back(ahead)
                    reader = csv.reader(iter(lines), strict=True, **dialect(separator))
                    rows = _rows(path, reader, names, table.form, table.notes, before)
                    break
                yield table.block(quick.columns)
                line += quick.lines
        # Up to where a block would end had no line been read in compiled code: what is found depends on no reader.
        block = list(itertools.islice(rows, most - table.rows % most))


class _Table:
    """Columns of the rows that come block by block.

    Attributes
    ----------
    names : list of str
        Of all columns of the file.
    kinds : dict of str to bool
        Of those that are wanted, whether they are text.
    rows : int
        How many there were.
    dtype : np.dtype or None
        See `quick_dtype`: of the last block.
    """

    def __init__(self, names: list[str], kinds: dict[str, bool], form: CsvForm, notes: CsvNotes) -> None:
        self.names, self.kinds, self.form, self.notes = names, kinds, form, notes
        self.rows = 0
        self.dtype: np.dtype[Any] | None = None

    def is_plain(self, rows: Sequence[Sequence[str]]) -> bool:
        """Return whether the columns that are no text hold numbers whose cells need no closer look."""
        cells = zip(*rows, strict=True)
        wanted = (
            column for name, column in zip(self.names, cells, strict=False) if self.kinds.get(name) is False
        )
        return self.form.decimal != "," and all(plain_numbers(column) is not None for column in wanted)

    def block(self, columns: Sequence[Any]) -> dict[str, Array]:
        """Return the wanted columns of some rows, which are arrays of numbers, or cells."""
        block: dict[str, Array] = {}
        found = []
        # Columns that a block of numbers without a mark or a gap says nothing about.
        looked_at = dict.fromkeys(self.names, False)
        for name, cells in zip(self.names, columns, strict=True):
            if name not in self.kinds:
                continue
            if isinstance(cells, np.ndarray) and cells.dtype.kind != "O":
                block[name] = cells
                continue
            if not self.kinds[name] and self.form.decimal != ",":
                numbers = plain_numbers(cells)
                if numbers is not None:
                    block[name] = _noted(numbers, cells, self.notes)
                    continue
            looked_at[name] = True
            try:
                block[name] = self._looked_at(name, tuple(map(str.strip, cells)))
            except TextFoundError as error:
                found += error.found
        if found:
            raise TextFoundError(found)
        self.rows += len(columns[0])
        self.dtype = quick_dtype(self.names, block, looked_at)
        return block

    def _looked_at(self, name: str, cells: tuple[str, ...]) -> Array:
        """Return a column of cells, each of which is looked at."""
        missing = {cell: self.form.is_missing(cell) for cell in set(cells)}
        gaps = [missing[cell] for cell in cells]
        self.notes.marks.update(cell for cell, gap in missing.items() if gap and cell)
        if self.kinds[name]:
            texts = ["" if gap else cell for cell, gap in zip(cells, gaps, strict=True)]
            return np.array(texts, dtype=np.dtypes.StringDType())
        return _numbers(name, cells, gaps, self.rows, self.form, self.notes)


def _numbers(
    name: str, cells: tuple[str, ...], gaps: list[bool], begin: int, form: CsvForm, notes: CsvNotes
) -> Array:
    """Return int64 where every cell is a whole number, float64 where every cell is a number or missing.

    ``begin`` is the number of rows before these cells, for the note on text.
    """
    decimal = form.decimal or "."
    present = [cell for cell, gap in zip(cells, gaps, strict=True) if not gap]
    try:
        return _noted(_plain(cells, present, gaps, decimal), cells, notes)
    except ValueError:
        pass
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


def _noted(column: Array, cells: Sequence[Any], notes: CsvNotes) -> Array:
    """Return the numbers of the cells, with a note of those that are infinite."""
    if column.dtype.kind == "f" and np.isinf(column).any():
        notes.infinite.update(cells[int(row)].strip() for row in np.flatnonzero(np.isinf(column)))
    return column


def _plain(cells: tuple[str, ...], present: list[str], gaps: list[bool], decimal: str) -> Array:
    """Return the numbers that Python writes so too, with a comma for the point; a ValueError for others.

    ``present`` are the cells without ``gaps``.
    """
    if len(present) == len(cells):
        try:
            return np.array([whole(cell) for cell in cells], dtype=np.int64)
        except (ValueError, OverflowError):
            pass
    if decimal == ",":
        if any("." in cell for cell in present):
            raise ValueError("a point, which groups thousands here")
        present = [cell.replace(",", ".") for cell in present]
    values = plain_numbers(present)
    column = np.full(len(cells), np.nan)
    column[~np.array(gaps, dtype=bool)] = [real(cell) for cell in present] if values is None else values
    return column
