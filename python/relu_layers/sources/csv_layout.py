"""Where the table stands in a text file, and between which signs: after titles, before totals, among comments."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from relu_layers.sources.csv_form import dialect, lines_of
from relu_layers.sources.csv_numbers import is_number

# In this order: a file of commas has hardly ever the same number of semicolons in every line, but one of semicolons
# may have decimal commas.
_SEPARATORS = "\t;|,"
_ROWS_LOOKED_AT = 100
# More lines than that before or after a table are a table of another form.
_MOST_BEFORE, MOST_AFTER = 30, 5
_TOTAL = re.compile(
    r"(grand |sub|sub-)?totals?:?|sum:?|summe:?|gesamt(summe)?:?|insgesamt:?|total g[e\u00e9]n[e\u00e9]ral:?|totale:?"
    r"|somme:?|suma:?|totaal:?|summa:?|average:?|mean:?|mittelwert:?|durchschnitt:?|moyenne:?"
    r"|\u5408\u8a08|\u5c0f\u8a08|\u7dcf\u8a08|\u8a08|\u5e73\u5747|\u603b\u8ba1|\u5408\u8ba1",
    re.IGNORECASE,
)


class Layout(NamedTuple):
    """What the beginning of a text shows.

    Attributes
    ----------
    width : int
        Cells of a line of the table, 0 where the lines do not agree.
    before : int
        Lines before the one that names the columns.
    row_names : bool
        Whether a first column has no cell in the line of names, as R writes the names of rows.
    """

    width: int
    before: int
    row_names: bool


def layout_of(sample: str, whole: bool, separator: str) -> Layout:
    """Return where the table begins in a text of which ``sample`` is the beginning, or all of it if ``whole``."""
    rows = list(_numbered_rows(sample, separator))
    if not whole and len(rows) < _ROWS_LOOKED_AT:
        del rows[-1:]
    widths = [len(row) for _, row in rows]
    usual = Counter(widths).most_common(1)[0][0] if widths else 0
    ends = [not row[-1].strip() for (_, row), width in zip(rows, widths, strict=True) if width == usual]
    if usual - 1 in widths and all(ends):  # a separator at the end of each line but for the names
        widths = [min(width, usual - 1) for width in widths]
        usual -= 1
    kept = [place for place, width in enumerate(widths) if width == usual or not is_comment(rows[place][1])]
    if usual < 2 or len(kept) < 2:
        return Layout(0, 0, False)
    body = [place for place in kept if widths[place] == usual]
    end = kept[-1] + 1 if not whole else body[-1] + 1
    begin = body[0]
    inside = [place for place in kept if begin <= place < end]
    after = sum(place >= end for place in kept)
    if (
        inside != body
        or len(body) < 2
        or after > MOST_AFTER
        or any(width > usual for width in widths[:begin])
    ):
        return Layout(0, 0, False)
    first = [place for place in kept if place < begin]
    if len(first) == 1 and widths[first[0]] == usual - 1 > 1:
        return Layout(usual, _lines_before(rows, first[0]), True)
    before = _lines_before(rows, begin)
    return Layout(usual if before <= _MOST_BEFORE else 0, before, False)


def separator_of(sample: str, whole: bool, tabs: bool) -> str:
    """Return what separates the cells of a text of which this is the beginning.

    Parameters
    ----------
    sample : str
    whole : bool
        Whether that is all of it; otherwise its last line may be cut.
    tabs : bool
        Whether the file is called one of tabs.
    """
    if tabs and "\t" in sample:
        return "\t"
    for separator in _SEPARATORS:
        rows = _sample_rows(sample, whole, separator)
        if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return separator
    rows = _sample_rows(sample, whole, " ")
    width = max((len(row) for row in rows), default=0)
    # R gives the names of rows no name.
    table = rows[1:] if width > 2 and len(rows[0]) == width - 1 else rows
    even = width > 1 and all(len(row) == width for row in table)
    if even and len(rows) > 1 and any(is_number(cell) or is_number(cell, ",") for cell in rows[1]):
        return " "
    for separator in _SEPARATORS:
        if layout_of(sample, whole, separator).width:
            return separator
    first = sample.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _sample_rows(sample: str, whole: bool, separator: str) -> list[list[str]]:
    try:
        found = csv.reader(lines_of(io.StringIO(sample, newline=""), separator), **dialect(separator))
        rows = list(itertools.islice(found, _ROWS_LOOKED_AT))
    except csv.Error:
        return []
    if not whole and len(rows) < _ROWS_LOOKED_AT:
        del rows[-1:]
    return [row for row in rows if row]


def _numbered_rows(sample: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold something, each with the number of lines up to its end."""
    reader = csv.reader(lines_of(io.StringIO(sample, newline=""), separator), **dialect(separator))
    try:
        for row in itertools.islice(reader, _ROWS_LOOKED_AT):
            if not is_blank(row):
                yield reader.line_num, row
    except csv.Error:
        return


def _lines_before(rows: Sequence[tuple[int, list[str]]], place: int) -> int:
    return rows[place - 1][0] if place else 0


def is_blank(row: Sequence[str]) -> bool:
    """Return whether a line holds no cell at all, but for blanks or the sign that ends a file of DOS."""
    return not row or (len(row) == 1 and row[0] != "" and not row[0].strip(" \t\x1a"))


def is_comment(row: Sequence[str]) -> bool:
    """Return whether a line may be a comment."""
    return bool(row) and row[0].lstrip().startswith("#")


def only_comments(sample: str, lines: int) -> bool:
    """Return whether each of the first lines is a comment or blank."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in sample.splitlines()[:lines])


def is_total(cell: str) -> bool:
    """Return whether a cell calls its row one of totals or means."""
    return _TOTAL.fullmatch(cell) is not None


def without_last(lines: Iterator[str], count: int) -> Iterator[str]:
    """Return all lines but the last ``count`` that hold something, and what follows the first of those."""
    return _held_back(lines, count) if count else lines


def _held_back(lines: Iterator[str], count: int) -> Iterator[str]:
    held: deque[str] = deque()
    filled = 0
    for line in lines:
        held.append(line)
        filled += bool(line.strip())
        while filled > count:
            filled -= bool(held[0].strip())
            yield held.popleft()
