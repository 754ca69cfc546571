"""How a text file writes its table: encoding, separator, decimal sign, missing values; found out where not given."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relu_layers._support.arguments import choice, integer
from relu_layers.sources.csv_numbers import MISSING, is_number

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class FormError(ValueError):
    """A file is written in another way; ``name`` and ``value`` are what to say about it, in a `CsvForm`."""

    def __init__(self, problem: str, name: str, value: str | bool | int) -> None:
        super().__init__(f"{problem}: CsvForm({name}={value!r}) may read it")
        self.problem, self.name, self.value = problem, name, value


@dataclass(frozen=True, slots=True)
class CsvForm:
    """The form of a text file.

    Attributes
    ----------
    separator : str or None
        Between cells, one character; a blank stands for any number of blanks. None: the one that gives all lines
        the same number of cells.
    decimal : {".", ","} or None
        Between the digits of a number. None: the point; a comma before three digits groups thousands where commas
        separate the cells, and is text elsewhere.
    encoding : str or None
        None: UTF-8, or UTF-16 where the file begins with its mark.
    missing : frozenset of str or None
        The texts that count as missing beside the empty cell; case does not matter. None: `MISSING`.
    header : bool
        Whether the first line names the columns; otherwise they are called column1, column2, ...
    name_unnamed : bool
        Whether a column without a name is called by its place, as column1, or refused.
    skip_lines : int or None
        Lines before the table: titles, dates of an export. None: those that are comments.
    skip_footer : int or None
        Lines after it that hold something, such as totals. None: nothing was said, so what looks like totals may be
        refused.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: frozenset[str] | None = None
    header: bool = True
    name_unnamed: bool = False
    skip_lines: int | None = None
    skip_footer: int | None = None

    def __post_init__(self) -> None:
        """Raise a ValueError for what no file can have."""
        if self.separator is not None and len(self.separator) != 1:
            raise ValueError(f"separator is {self.separator!r}, expected one character")
        if self.decimal is not None:
            choice("CsvForm", "decimal", self.decimal, (".", ","))
            if self.decimal == self.separator:
                raise ValueError(f"separator and decimal are both {self.decimal!r}")
        for name, count in (("skip_lines", self.skip_lines), ("skip_footer", self.skip_footer)):
            if count is not None:
                integer("CsvForm", name, count, minimum=0)
        if self.missing is not None:
            object.__setattr__(self, "missing", frozenset(text.lower() for text in self.missing))
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise ValueError(
                    f"encoding {self.encoding!r} is unknown, expected one of Python's, such as cp1252 or cp932"
                ) from None

    def is_missing(self, cell: str) -> bool:
        """Return whether a stripped cell counts as missing."""
        if self.missing is None:
            return cell.lower() in MISSING
        return cell == "" or cell.lower() in self.missing


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case, with the one before it where the file is compressed: ``.csv.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def encoding_of(beginning: bytes) -> str:
    """Return the encoding that the first bytes of a file show."""
    return next((name for mark, name in _MARKS if beginning.startswith(mark)), "utf-8")


def likely_encoding(content: bytes) -> str:
    """Return a guess at the encoding of text that is not UTF-8: cp932 (Japanese) or cp1252 (Western European)."""
    high = [byte for byte in content if byte >= 0x80]
    # Kana and half of the kanji begin with these bytes, which are rare signs in cp1252.
    leads = sum(0x81 <= byte <= 0x9F for byte in high)
    try:
        content[:-1].decode("cp932")  # the last character may be cut in two
    except UnicodeDecodeError:
        return "cp1252"
    return "cp932" if 4 * leads >= len(high) else "cp1252"


def dialect(separator: str) -> dict[str, Any]:
    """Return the arguments for `csv.reader`."""
    return {"delimiter": separator, "skipinitialspace": separator == " "}


def lines_of(stream: Iterable[str], separator: str) -> Iterable[str]:
    """Return the lines for `csv.reader`: without blanks at their ends where blanks separate the cells."""
    return (line.strip(" \t\r\n") for line in stream) if separator == " " else stream


def is_row_of_data(names: Sequence[str]) -> bool:
    """Return whether the first line is rather a row of numbers than one of names.

    Whole numbers that grow from left to right are names: years, or places.
    """
    numbers = [name for name in names if is_number(name)]
    places = all(name.isdecimal() for name in numbers)
    return bool(numbers) and not (places and all(int(a) < int(b) for a, b in itertools.pairwise(numbers)))
