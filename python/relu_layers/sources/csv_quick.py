"""Lines of a CSV file read by NumPy's own reader, in C, where nothing about them needs a closer look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


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


def quick_columns(lines: Sequence[str], dtype: np.dtype[Any], separator: str) -> list[Array] | None:
    """Return the columns of lines, text as it stands there; None where a cell is not what ``dtype`` says.

    None too for quotes, for numbers that are not finite, and for lines that lack cells: whoever reads them one by one
    finds out what they mean.
    """
    if not lines[0].strip() or any('"' in line for line in lines):
        return None
    try:
        table = np.loadtxt(lines, dtype=dtype, delimiter=separator, comments=None, ndmin=1)
    except ValueError:
        return None
    columns = [table[name].copy() for name in dtype.names or ()]
    if not all(np.isfinite(column).all() for column in columns if column.dtype.kind == "f"):
        return None
    return columns
