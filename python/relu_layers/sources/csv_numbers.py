"""Numbers as offices write them: decimal commas, groups of thousands, currencies, percentages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# What counts as missing unless the caller says otherwise; case does not matter.
MISSING = frozenset(
    {
        "",
        "na",
        "n/a",
        "nan",
        "null",
        "none",
        "?",
        "#n/a",
        "#na",
        "<na>",
        "-nan",
        "#div/0!",
        "#num!",
        "#value!",
    }
)
_BLANKS = "\u00a0\u2009\u202f"  # no-break, thin and narrow no-break space
_LETTERS = "EUR|USD|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|kr|z\u0142|\u5186|\u5143"


@cache
def _pattern(decimal: str) -> re.Pattern[str]:
    """Return the expression of a number with its marks, for a decimal sign."""
    point = re.escape(decimal)
    group = f"[ '\u2019{_BLANKS}{',' if decimal == '.' else '.'}]"
    digits = rf"\d{{1,3}}(?P<group>{group})\d{{3}}(?:(?P=group)\d{{3}})*(?:{point}\d*)?"
    if decimal == ".":  # India's groups
        digits += r"|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d*)?"
    plain = rf"\d+(?:{point}\d*)?|{point}\d+"
    mark = rf"[^\W\d_]|[^\w\s.,()+\-']|{_LETTERS}"
    return re.compile(
        rf"(?P<open>\()?(?P<sign>[-+\u2212])?\s*(?P<before>{mark})?\s*(?P<inner>[-+\u2212])?"
        rf"(?P<body>{digits}|{plain})(?P<power>[eE][-+]?\d+)?\s*(?P<after>{mark})?(?P<close>\))?"
    )


def office_number(cell: str, decimal: str = ".") -> tuple[float, str, bool] | None:
    """Return value, mark (``%``, a currency, or nothing) and whether thousands are grouped; None for other text.

    45% is 0.45, as spreadsheets keep it; an amount in brackets is negative. A number with leading zeros is not
    grouped: 0,250 is no thousand.
    """
    found = _pattern(decimal).fullmatch(cell)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    marks = [mark for mark in (found["before"], found["after"]) if mark]
    signs = [sign for sign in (found["sign"], found["inner"], found["open"]) if sign]
    if len(marks) > 1 or len(signs) > 1 or not all(_is_mark(mark) for mark in marks):
        return None
    body, group = found["body"], found["group"] or ("," if decimal == "." and "," in found["body"] else "")
    if group:
        if body.startswith("0"):
            return None
        body = body.replace(group, "")
    text = body.replace(decimal, ".") + (found["power"] or "")
    mark = marks[0] if marks else ""
    # A percentage is divided as text, so that 7% is the number nearest to 0.07.
    value = float(text) if mark != "%" else float(text) / 100.0
    return (-value if signs and signs[0] != "+" else value), mark, group in (",", ".")


def _is_mark(mark: str) -> bool:
    return (
        mark == "%" or mark in _LETTERS.split("|") or (len(mark) == 1 and unicodedata.category(mark) == "Sc")
    )


def office_numbers(cells: Iterable[str], decimal: str, grouped: bool) -> tuple[list[float], str] | None:
    """Return the numbers of a column and a cell that shows how they are written, or None if it is text.

    All marks must be the same: dollars and euros in one column are not one unit. ``grouped`` allows a single comma
    or point to group thousands, which might be a decimal sign; more of them in any cell settle it.
    """
    values, marks, shown, settled, doubtful = [], set(), "", grouped, False
    for cell in cells:
        found = office_number(cell, decimal)
        if found is None:
            return None
        value, mark, in_groups = found
        values.append(value)
        if in_groups:
            doubtful = True
            settled = settled or sum(cell.count(sign) for sign in ",.") > 1
        marks |= {mark} - {""}
        if not shown and (mark or in_groups):
            shown = cell
    if len(marks) > 1 or (doubtful and not settled):
        return None
    return values, shown


def is_number(cell: str, decimal: str = ".") -> bool:
    """Return whether a cell is a number, in any way of writing."""
    try:
        real(cell)
    except ValueError:
        return office_number(cell, decimal) is not None
    return True


def whole(cell: str) -> int:
    """Return a whole number; a ValueError for anything else, digits with underscores too."""
    if "_" in cell:
        raise ValueError(cell)
    return int(cell)


def real(cell: str) -> float:
    """Return a number; a ValueError for anything else, digits with underscores too."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def plain_numbers(cells: Sequence[str]) -> Array | None:
    """Return numbers of ASCII digits, signs, points and exponents, int64 where all are whole; None for other cells.

    What nearly every column holds, at a fraction of the time that a look at each cell takes. Such cells mean the same
    to `whole` and `real`.
    """
    joined = "".join(cells)
    if not joined.isascii():
        return None
    marks = joined.encode().translate(None, b"0123456789")
    if marks.translate(None, b"+-.eE"):
        return None
    try:
        if not marks.translate(None, b"+-"):
            return np.array([*map(int, cells)], dtype=np.int64)
        return np.array([*map(float, cells)], dtype=np.float64)
    except (ValueError, OverflowError):
        return None
