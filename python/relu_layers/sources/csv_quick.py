"""Lines of a CSV file read by polars or by NumPy's reader, in compiled code, where nothing needs a closer look."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from relu_layers.runtime import build_info

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Importing polars takes as long as NumPy needs for some ten million bytes more than polars does.
_POLARS_FROM_BYTES = 2**24
# The threads of polars do not live on in a forked child, which would wait for them.
_forked = False
_LINE_FEED = 0x0A


def _in_forked_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


def polars_for(size: int) -> Any:
    """Return polars where it is installed and a file of ``size`` bytes is large enough for it, else None.

    Its usual builds end the process on a processor without AVX2.
    """
    if size < _POLARS_FROM_BYTES or _forked or build_info()["targets"] == ["baseline"]:
        return None
    try:
        import polars
    except ImportError:
        return None
    return polars


def quick_dtype(
    names: Sequence[str], block: Mapping[str, Array], looked_at: Mapping[str, bool]
) -> np.dtype[Any] | None:
    """Return the dtype that lines after ``block`` probably have; None where there is nothing to gain.

    Whole numbers are int64 and others float64; text, columns with gaps or with numbers that Python writes in another
    way (``looked_at``), and those that are not wanted stay text, as objects.
    """
    kinds = []
    for name in names:
        column = block.get(name)
        plain = column is not None and column.dtype.kind in "if" and not looked_at[name]
        kinds.append(column.dtype.str if column is not None and plain else "O")
    if all(kind == "O" for kind in kinds):
        return None
    return np.dtype([(f"f{place}", kind) for place, kind in enumerate(kinds)])


class Quick(NamedTuple):
    """The columns of whole lines, text as it stands there, and the number of these lines."""

    columns: list[Any]
    lines: int


def quick_columns(text: str, dtype: np.dtype[Any], separator: str, polars: Any = None) -> Quick | None:
    """Return the columns of whole lines; None where a cell is not what ``dtype`` says.

    None too for quotes, for numbers that are not finite, and for lines that lack cells: whoever reads them one by one
    finds out what they mean. Where ``polars`` is given it is asked first, and NumPy where that does not understand.
    """
    if '"' in text or not text[: text.find("\n") + 1 or None].strip():
        return None
    found = None if polars is None else _by_polars(polars, text, dtype, separator)
    if found is None:
        lines = io.StringIO(text, newline="")
        try:
            with warnings.catch_warnings():
                # Older releases of NumPy read 0.5 as the whole number 0 and warn.
                warnings.simplefilter("error", DeprecationWarning)
                table = np.loadtxt(lines, dtype=dtype, delimiter=separator, comments=None, ndmin=1)
        except ValueError:
            return None
        found = Quick([table[name].copy() for name in dtype.names or ()], lines_in(text))
    arrays = (column for column in found.columns if isinstance(column, np.ndarray))
    return found if all(np.isfinite(column).all() for column in arrays if column.dtype.kind == "f") else None


def lines_in(text: str) -> int:
    """Return the number of lines, which end as in a file: with a line feed, a carriage return, or both."""
    marks = np.frombuffer(text.encode(errors="replace"), dtype=np.uint8)
    feeds, ended = np.count_nonzero(marks == _LINE_FEED), text.endswith(("\n", "\r"))
    returns = text.count("\r") - text.count("\r\n") if "\r" in text else 0
    return int(feeds) + returns + (not ended)


def _by_polars(polars: Any, text: str, dtype: np.dtype[Any], separator: str) -> Quick | None:
    """Return the columns as polars reads them, which rounds numbers correctly; None where it finds no such cells."""
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        return None
    if text.startswith("\ufeff") or text.endswith(separator):  # which polars leaves out
        return None
    kinds = {"i": polars.Int64, "f": polars.Float64, "O": polars.String}
    names = dtype.names or ()
    schema = {name: kinds[dtype[name].kind] for name in names}
    errors = polars.exceptions
    panic = getattr(errors, "PanicException", errors.PolarsError)
    try:
        frame = polars.read_csv(
            text.encode(), has_header=False, separator=separator, schema=schema, quote_char=None
        )
    except (errors.PolarsError, panic, ValueError):
        return None
    # A row for each line: without a cell for a blank one, so that it is refused here.
    rows, columns = frame.shape
    if columns != len(names):
        return None
    found: list[Any] = []
    for series in frame.get_columns():
        gaps = series.null_count()
        if series.dtype != polars.String:
            if gaps:
                return None
            found.append(series.to_numpy())
        else:
            # Empty cells, or those that a line lacks.
            if gaps and text.count(separator) != rows * (len(names) - 1):
                return None
            found.append(series.fill_null("").to_list())
    return Quick(found, rows)
