"""The target of a table: classes that become labels, or numbers that become standardised values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from relu_layers.preprocessing.columns import (
    TEXT,
    Array,
    as_text,
    checked_list,
    checked_mapping,
    checked_number,
    checked_positive,
    checked_text,
    first_row,
    is_text,
    missing,
    refuse_infinite,
    shortened,
    truth_numbers,
    truth_texts,
    unique_texts,
)

ClassName: TypeAlias = str | int | float
MOST_WHOLE_NUMBER_CLASSES = 20
# Every whole number up to this one is a float64, too.
_LARGEST_EXACT = 2**53
TASKS = ("classification", "regression")


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """The target of a classification: label i stands for ``classes[i]``."""

    name: str
    classes: tuple[ClassName, ...]

    @property
    def task(self) -> str:
        """The task of a model with this target."""
        return "classification"

    def encode(self, column: Array, dtype: Any) -> Array:
        """Return the label of every row as int64; ``dtype`` does not matter here."""
        refuse_gaps(self.name, column)
        position = {name: index for index, name in enumerate(self.classes)}
        if isinstance(self.classes[0], str):
            column = as_text(truth_texts(self.classes, column))
        else:
            column = truth_numbers(column)
            codes = None if is_text(column) else _codes_of_numbers(self.classes, column)
            if codes is not None:
                return codes
        names: list[ClassName] = column.tolist()
        unseen = next((row for row, value in enumerate(names) if value not in position), None)
        if unseen is not None:
            raise ValueError(
                f"target {self.name!r} holds {names[unseen]!r} in row {unseen + 1} (counted from 1), "
                f"expected one of {shortened(self.classes)}"
            )
        return np.array([position[value] for value in names], dtype=np.int64)

    def decode(self, labels: Array) -> Array:
        """Return the class of every label."""
        names = np.array(self.classes, dtype=TEXT if isinstance(self.classes[0], str) else None)
        chosen: Array = names[labels]
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON-able values."""
        return {"task": self.task, "name": self.name, "classes": list(self.classes)}


@dataclass(frozen=True, slots=True)
class NumberTarget:
    """The target of a regression: the model learns ``(value - mean) / scale``."""

    name: str
    mean: float
    scale: float

    @property
    def task(self) -> str:
        """The task of a model with this target."""
        return "regression"

    def encode(self, column: Array, dtype: Any) -> Array:
        """Return the standardised values, of shape (rows, 1)."""
        refuse_gaps(self.name, column)
        if is_text(column):
            raise ValueError(f"target {self.name!r} is text ({column[0]!r} in row 1), expected numbers")
        refuse_infinite(self.name, column)
        scaled: Array = ((column - self.mean) / self.scale).astype(dtype).reshape(-1, 1)
        return scaled

    def decode(self, values: Array) -> Array:
        """Return standardised values in the unit of the target."""
        return values.astype(np.float64) * self.scale + self.mean

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON-able values."""
        return {"task": self.task, "name": self.name, "mean": self.mean, "scale": self.scale}


def _codes_of_numbers(classes: tuple[ClassName, ...], column: Array) -> Array | None:
    """Return the label of every row where all are sorted numbers; None where a closer look is needed."""
    kind = column.dtype.kind
    if not all(isinstance(name, int if kind == "i" else (int, float)) for name in classes):
        return None
    if any(isinstance(name, int) and abs(name) > _LARGEST_EXACT for name in classes):
        return None
    names = np.array(classes, dtype=column.dtype)
    codes = np.searchsorted(names, column).astype(np.int64)
    # In an unsorted list the search misses classes, which is seen here.
    known = names[np.minimum(codes, len(names) - 1)] == column
    return codes if known.all() else None


def find_task(column: Array) -> str:
    """Return the task a target column asks for.

    Classification: text, or at most 20 different whole numbers, each in two rows or more on average.
    Regression: everything else.
    """
    values = column if is_text(column) else np.unique(column[~missing(column)])
    return "classification" if asks_for_classes(values, len(column)) else "regression"


def asks_for_classes(values: Array, rows: int) -> bool:
    """Return whether the distinct values of a target of that many rows are classes."""
    if is_text(values):
        return True
    whole = bool(np.all(values == np.floor(values)))
    return whole and len(values) <= MOST_WHOLE_NUMBER_CLASSES and 2 * len(values) <= rows


def target_from_dict(entry: Any) -> ClassTarget | NumberTarget:
    """Rebuild a target from the result of `to_dict`; anything else is a ValueError."""
    fields = checked_mapping("target", entry)
    name = checked_text("target name", fields.get("name"))
    task = fields.get("task")
    if task == "regression":
        parts = ("mean", "scale")
        mean, scale = (checked_number(f"{part} of target {name!r}", fields.get(part)) for part in parts)
        return NumberTarget(name, mean, checked_positive(f"scale of target {name!r}", scale))
    if task != "classification":
        raise ValueError(f"preprocessing: the task is {task!r}, expected 'classification' or 'regression'")
    classes = tuple(checked_list(f"classes of target {name!r}", fields.get("classes")))
    for value in classes:
        if not isinstance(value, str):
            checked_number(f"class of target {name!r}", value)
    kinds = {isinstance(value, str) for value in classes}
    if len(classes) < 2 or len(kinds) != 1 or len(set(classes)) != len(classes):
        raise ValueError(f"preprocessing: target {name!r} has an inconsistent list of classes")
    return ClassTarget(name, classes)


def refuse_gaps(name: str, column: Array, before: int = 0) -> None:
    """Raise a ValueError if a target, of which these are the rows after ``before``, misses values."""
    gaps = missing(column)
    if gaps.any():
        raise ValueError(
            f"target {name!r} has {int(gaps.sum())} missing values, the first in row "
            f"{before + first_row(gaps)} "
            "(counted from 1); a target cannot be filled, drop these rows"
        )


def class_names(column: Array) -> tuple[ClassName, ...]:
    """Return the sorted different values of a column; whole numbers are ints whatever the dtype was."""
    if is_text(column):
        return tuple(unique_texts(column)[0])
    values = np.unique(column)
    if values.dtype.kind == "f" and np.all(values == np.floor(values)) and np.abs(values).max() < 2**53:
        values = values.astype(np.int64)
    return tuple(values.tolist())
