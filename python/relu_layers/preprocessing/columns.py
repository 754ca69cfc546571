"""One column of a table: read as numbers or text, fitted as numbers or categories, checked if from a file."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.arguments import nearest

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
TEXT = np.dtypes.StringDType()
_TRUTH = {"false": 0, "true": 1}


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers: one feature ``(value - mean) / scale``; a missing value becomes ``fill`` first."""

    name: str
    mean: float
    scale: float
    fill: float

    def to_dict(self) -> dict[str, Any]:
        """Return the column as JSON-able values."""
        return {
            "kind": "number",
            "name": self.name,
            "mean": self.mean,
            "scale": self.scale,
            "fill": self.fill,
        }


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A column of text: one feature per category, 1 where it holds that category, else 0."""

    name: str
    categories: tuple[str, ...]
    fill: str

    def to_dict(self) -> dict[str, Any]:
        """Return the column as JSON-able values."""
        return {"kind": "category", "name": self.name, "categories": list(self.categories), "fill": self.fill}


def as_column(name: str, values: Any) -> Array:
    """Return a column as int64 or float64 (missing is NaN) or as text (missing is the empty string).

    One that is so already is returned itself.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"column {name!r} has shape {array.shape}, expected one value per row")
    if array.dtype.kind == "O":
        array = _typed(name, array)
    if array.dtype.kind in "UT":
        return array.astype(TEXT)
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind in "iu":
        fits = array.dtype != np.uint64 or array.size == 0 or int(array.max()) < 2**63
        return array.astype(np.int64 if fits else np.float64, copy=False)
    if array.dtype.kind == "f":
        return array.astype(np.float64, copy=False)
    if array.dtype.kind in "Mm":
        raise ValueError(_dates(name))
    raise ValueError(f"column {name!r} has dtype {array.dtype}, expected numbers or text")


def as_table(table: Mapping[str, Any] | Array) -> dict[str, Array]:
    """Return the columns of a mapping or frame by name, which is text; those of an array are called x0, x1, ..."""
    if isinstance(table, np.ndarray):
        if table.ndim != 2:
            raise ValueError(f"the table is an array of shape {table.shape}, expected (rows, columns)")
        table = {f"x{index}": table[:, index] for index in range(table.shape[1])}
    columns: dict[str, Array] = {}
    for name, values in _columns_of(table):
        text = str(name)  # frames name columns by numbers too, and files hold texts
        if text in columns:
            raise ValueError(f"two columns are called {text!r}")
        columns[text] = as_column(text, values)
    rows = {len(values) for values in columns.values()}
    if len(rows) > 1:
        raise ValueError(f"the columns have different numbers of rows: {', '.join(map(str, sorted(rows)))}")
    return columns


def without_gaps(columns: dict[str, Array]) -> dict[str, Array]:
    """Return the rows that miss no value."""
    gaps = np.logical_or.reduce([missing(values) for values in columns.values()])
    return {name: values[~gaps] for name, values in columns.items()} if gaps.any() else columns


def _columns_of(table: Any) -> Iterable[tuple[Any, Any]]:
    """Return names and columns of a mapping or of a frame of pandas or polars."""
    if hasattr(table, "items"):
        pairs: Iterable[tuple[Any, Any]] = table.items()
        return pairs
    lazy = hasattr(table, "collect")
    if not lazy and hasattr(table, "columns") and hasattr(table, "__getitem__"):
        return ((name, table[name].to_numpy()) for name in table.columns)
    hint = "; collect() it" if lazy else ""
    raise TypeError(
        f"the table is a {type(table).__name__}, expected a mapping from names to columns, a frame, or an array{hint}"
    )


def _typed(name: str, array: Array) -> Array:
    """Return an array of Python objects as numbers or text, None, NaN and pandas' NA as missing."""
    present = [not _is_missing(value) for value in array]
    kinds = {type(value) for value, here in zip(array, present, strict=True) if here}
    numbers = (bool, int, float, decimal.Decimal, np.bool_, np.integer, np.floating)
    if all(issubclass(kind, numbers) for kind in kinds):
        fractions = (float, decimal.Decimal, np.floating)
        whole = all(present) and not any(issubclass(kind, fractions) for kind in kinds)
        filled = [value if here else math.nan for value, here in zip(array, present, strict=True)]
        try:
            return np.array(filled, dtype=np.int64 if whole else np.float64)
        except OverflowError:
            return np.array([float(value) for value in filled], dtype=np.float64)
    if all(issubclass(kind, str) for kind in kinds):
        texts = [value if here else "" for value, here in zip(array, present, strict=True)]
        return np.array(texts, dtype=TEXT)
    times = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
    if all(issubclass(kind, times) for kind in kinds):
        raise ValueError(_dates(name))
    listed = ", ".join(sorted(kind.__name__ for kind in kinds))
    if len(kinds) == 1:
        raise ValueError(f"column {name!r} holds values of type {listed}, expected numbers or text")
    raise ValueError(f"column {name!r} mixes values of type {listed}, expected numbers only or text only")


def _is_missing(value: Any) -> bool:
    """Return whether an object stands for no value: None, NaN, or pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating, decimal.Decimal)) and math.isnan(value)


def _dates(name: str) -> str:
    return (
        f"column {name!r} holds dates or times: make numbers of them (year, month, weekday, days since a day), "
        "or leave it out"
    )


def is_text(column: Array) -> bool:
    """Return whether a column from `as_column` holds text."""
    return column.dtype.kind == "T"


def missing(column: Array) -> Array:
    """Return where a column from `as_column` has no value."""
    if is_text(column):
        return np.asarray(column == "", dtype=bool)
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), dtype=bool)


def first_row(where: Array) -> int:
    """Return the first row, counted from 1, at which ``where`` is true."""
    return int(np.argmax(where)) + 1


def refuse_infinite(name: str, column: Array, before: int = 0) -> None:
    """Raise a ValueError if a column, of which these are the rows after ``before``, holds an infinity."""
    if column.dtype.kind != "f":
        return
    infinite = np.isinf(column)
    if infinite.any():
        value, row = column[infinite][0], before + first_row(infinite)
        raise ValueError(f"column {name!r} holds {value} in row {row} (counted from 1)")


def refuse_missing(name: str, gaps: Array, rule: str, before: int = 0) -> None:
    """Raise a ValueError if a column has gaps, of which these are the rows after ``before``."""
    if gaps.any():
        raise ValueError(
            f"column {name!r} has {int(gaps.sum())} missing values, the first in row "
            f"{before + first_row(gaps)} (counted from 1); missing={rule!r} does not fill them"
        )


def unique_texts(column: Array) -> tuple[list[str], Array]:
    """Return the sorted texts of a column and, for every row, the index of its text among them."""
    values, inverse = np.unique(column, return_inverse=True)
    return [str(value) for value in values], np.asarray(inverse).reshape(-1)


def as_text(column: Array) -> Array:
    """Return a column as text: whole numbers print without a decimal point, missing numbers become empty."""
    if is_text(column):
        return column
    return np.array([_number_text(value) for value in column.tolist()], dtype=TEXT)


def _number_text(value: int | float) -> str:
    if value != value:
        return ""
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


def filled(values: Array, fill: float) -> Array:
    """Return a column of numbers as float64 with ``fill`` for missing values."""
    gaps = missing(values)
    return np.where(gaps, fill, values) if gaps.any() else values.astype(np.float64, copy=False)


def category_codes(entry: CategoryColumn, values: Array, unknown: str) -> Array:
    """Return the index of every row's category, -1 for a category that was not fitted.

    A whole number is one category, written 1234 or 1234.0.
    """
    position = {category: index for index, category in enumerate(entry.categories)}
    alike = {_canonical(category): index for category, index in position.items()}
    position[""] = position[entry.fill]
    texts, inverse = unique_texts(values)
    codes = [position.get(text, alike.get(_canonical(text), -1)) for text in texts]
    unseen = [text for text, code in zip(texts, codes, strict=True) if code < 0]
    if unseen and unknown == "error":
        row = first_row(np.asarray(values == unseen[0], dtype=bool))
        raise ValueError(
            f"column {entry.name!r} holds {unseen[0]!r} in row {row} (counted from 1), "
            f"expected one of {shortened(entry.categories)}{nearest(unseen[0], entry.categories)}"
        )
    return np.array(codes, dtype=np.intp)[inverse]


def _canonical(text: str) -> str:
    """Return a whole number without its zeros after the point; other text as it is."""
    whole, point, zeros = text.partition(".")
    return whole if point and not zeros.strip("0") and whole.lstrip("-").isdecimal() else text


def truth_texts(names: Sequence[object], values: Array) -> Array:
    """Return numbers 0 and 1 as the texts true and false, where ``names`` are these, in any case; else ``values``."""
    by_value = {name.lower(): name for name in names if isinstance(name, str)}
    if is_text(values) or not by_value or not by_value.keys() <= _TRUTH.keys():
        return values
    texts = {number: by_value.get(word, word.capitalize()) for word, number in _TRUTH.items()}
    gaps = missing(values)
    if not np.isin(values[~gaps], (0, 1)).all():
        return values
    return np.array(
        ["" if gap else texts[int(value)] for value, gap in zip(values.tolist(), gaps.tolist(), strict=True)],
        dtype=TEXT,
    )


def truth_numbers(values: Array) -> Array:
    """Return texts true and false, in any case, as 1 and 0, missing as NaN; other columns as they are."""
    if not is_text(values):
        return values
    numbers = [_TRUTH.get(text.lower(), None if text else math.nan) for text in values.tolist()]
    if None in numbers or not values.size:
        return values
    return np.array(numbers, dtype=np.float64)


def shortened(names: Sequence[object]) -> str:
    """Return the first few of a list of names as text."""
    return ", ".join(repr(name) for name in names[:6]) + (f", ... ({len(names)})" if len(names) > 6 else "")


def column_from_dict(entry: Any) -> NumberColumn | CategoryColumn:
    """Rebuild a column from the result of `to_dict`; anything else is a ValueError."""
    fields = checked_mapping("column", entry)
    name = checked_text("column name", fields.get("name"))
    kind = fields.get("kind")
    if kind == "number":
        parts = ("mean", "scale", "fill")
        mean, scale, fill = (checked_number(f"{part} of column {name!r}", fields.get(part)) for part in parts)
        return NumberColumn(name, mean, checked_positive(f"scale of column {name!r}", scale), fill)
    if kind == "category":
        names = checked_list(f"categories of column {name!r}", fields.get("categories"))
        categories = tuple(checked_text(f"category of column {name!r}", value) for value in names)
        frequent = checked_text(f"fill of column {name!r}", fields.get("fill"))
        if "" in categories or len(set(categories)) != len(categories) or frequent not in categories:
            raise ValueError(f"preprocessing: column {name!r} has an inconsistent list of categories")
        return CategoryColumn(name, categories, frequent)
    raise ValueError(f"preprocessing: column {name!r} is of kind {kind!r}, expected 'number' or 'category'")


def checked_mapping(what: str, value: Any) -> dict[str, Any]:
    """Return ``value`` if it is a dict, else raise a ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"preprocessing: {what} is a {type(value).__name__}, expected a mapping")
    return value


def checked_list(what: str, value: Any) -> list[Any]:
    """Return ``value`` if it is a list, else raise a ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"preprocessing: {what} is a {type(value).__name__}, expected a list")
    return value


def checked_text(what: str, value: Any) -> str:
    """Return ``value`` if it is text, else raise a ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"preprocessing: {what} is a {type(value).__name__}, expected text")
    return value


def checked_number(what: str, value: Any) -> float:
    """Return ``value`` as a finite float, else raise a ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"preprocessing: {what} is a {type(value).__name__}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"preprocessing: {what} is {number}, expected a finite number")
    return number


def checked_positive(what: str, value: float) -> float:
    """Return ``value`` if it is above 0, else raise a ValueError."""
    if value <= 0:
        raise ValueError(f"preprocessing: {what} is {value}, expected a number above 0")
    return value
