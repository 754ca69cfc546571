"""Tables to arrays a network learns from, and its answers back to the table's own words.

A table is a mapping from column names to one-dimensional columns, or a two-dimensional array. Numbers are
standardised, texts become one-hot features, the classes of a target become labels 0, 1, ..., a numeric target
is standardised. What `fit` found is plain numbers and text, travels in the model file and is applied again by
`transform`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relu_layers._support.arguments import choice, integer, nearest
from relu_layers.preprocessing.columns import (
    Array,
    CategoryColumn,
    NumberColumn,
    as_column,
    as_table,
    as_text,
    category_codes,
    column_from_dict,
    filled,
    first_row,
    is_text,
    missing,
    refuse_infinite,
    refuse_missing,
    shortened,
    truth_numbers,
    truth_texts,
    without_gaps,
)
from relu_layers.preprocessing.learning import TargetLearner, learned_columns, pooled
from relu_layers.preprocessing.targets import ClassTarget, NumberTarget, target_from_dict

_FORMAT = 1
# Numbers that are standardised at once: they stay in the caches.
_CELLS_AT_ONCE = 2**16


class Preprocessing:
    """Standardisation, one-hot categories and label encoding, fitted on training rows.

    Parameters
    ----------
    standardize : {"column", "table", "none"}
        ``column``: every column of numbers gets mean 0 and standard deviation 1. ``table``: one mean and one
        scale for all of them, right where columns share a unit (pixels). ``none``: numbers stay as they are.
        A numeric target is standardised unless ``none``.
    missing : {"error", "mean", "drop"}
        What a missing value (NaN, None, empty text) means. ``error``: a ValueError that names column and row.
        ``mean``: a number becomes the mean of its column, a text the most frequent one. ``drop``: the caller
        removes the rows that `missing_rows` returns; `fit` and `transform` refuse them.
    max_categories : int
        A text column with more different texts than this is a ValueError.

    Attributes
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        What was learned about each column, in the order of the features.
    target : ClassTarget, NumberTarget or None
    """

    def __init__(
        self, *, standardize: str = "column", missing: str = "error", max_categories: int = 100
    ) -> None:
        owner = "Preprocessing"
        self.standardize = choice(owner, "standardize", standardize, ("column", "table", "none"))
        self.missing = choice(owner, "missing", missing, ("error", "mean", "drop"))
        self.max_categories = integer(owner, "max_categories", max_categories, minimum=1)
        self.columns: tuple[NumberColumn | CategoryColumn, ...] = ()
        self.target: ClassTarget | NumberTarget | None = None

    def __repr__(self) -> str:
        """Return the fitted columns in one line."""
        target = "" if self.target is None else f", {self.target.task} of {self.target.name!r}"
        return f"<Preprocessing: {len(self.columns)} columns to {self.n_features} features{target}>"

    @property
    def feature_names(self) -> list[str]:
        """Names of the features: the column's own, or ``column=category`` for each category."""
        names: list[str] = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                names.append(column.name)
            else:
                names.extend(f"{column.name}={category}" for category in column.categories)
        return names

    @property
    def n_features(self) -> int:
        """Number of features, which is the number of inputs of the model."""
        return len(self.feature_names)

    def fit(self, table: Mapping[str, Any] | Array) -> Preprocessing:
        """Learn names, kinds, means, scales and categories of the columns; returns the object itself.

        Raises ValueError for an empty table, columns of different length, infinities, missing values (unless
        ``mean``) and columns without any value.
        """
        return self.fit_blocks([table])

    def fit_blocks(
        self,
        blocks: Iterable[Mapping[str, Any] | Array],
        *,
        target: str | None = None,
        task: str | None = None,
    ) -> Preprocessing:
        """Learn from a table that comes in parts, one at a time in memory; returns the object itself.

        What is learned is the same to the last bit as from the whole table. With ``target``, that column is
        learned as the target, as by `fit_target` with ``task``. Then ``missing="drop"`` leaves rows with gaps out.

        Raises what `fit` and `fit_target` raise, and ValueError for a part with other columns than the first.
        """
        drop = self.missing == "drop" and target is not None
        tables = (without_gaps(as_table(block)) if drop else as_table(block) for block in blocks)
        learners, aim = learned_columns(tables, self.max_categories, self.missing, target, task)
        self.columns = tuple(learner.learned(self.standardize == "column") for learner in learners)
        if self.standardize == "table":
            self.columns = pooled(learners, self.columns)
        if aim is not None:
            self.target = aim.learned(self.standardize != "none")
        return self

    def transform(
        self, table: Mapping[str, Any] | Array, *, unknown: str = "error", dtype: Any = np.float32
    ) -> Array:
        """Return the features of a table as a new array of shape (rows, n_features).

        Columns are found by name, whatever their order; further columns are ignored. ``unknown="error"``
        refuses a category that `fit` did not see, ``unknown="zero"`` gives it a row of zeros.

        Raises ValueError for a missing column (the nearest name is suggested), text where numbers were,
        infinities, missing values (unless ``mean``) and values too large for ``dtype``.
        """
        choice("Preprocessing.transform", "unknown", unknown, ("error", "zero"))
        if not self.columns:
            raise ValueError("Preprocessing.transform: nothing was fitted; call fit first")
        columns = self._chosen(as_table(table))
        self._refuse_missing(columns)
        rows = len(next(iter(columns.values())))
        x: Array = np.zeros((rows, self.n_features), dtype=dtype)
        at = 0
        for _, group in itertools.groupby(self.columns, type):
            entries = list(group)
            numbers = [entry for entry in entries if isinstance(entry, NumberColumn)]
            _standardized(numbers, columns, x[:, at : at + len(numbers)])
            at += len(numbers)
            for entry in entries:
                if isinstance(entry, CategoryColumn):
                    codes = category_codes(entry, columns[entry.name], unknown)
                    known = np.flatnonzero(codes >= 0)
                    x[known, at + codes[known]] = 1
                    at += len(entry.categories)
        return x

    def missing_rows(self, table: Mapping[str, Any] | Array) -> Array:
        """Return a bool array: which rows miss a value in any column (after `fit`: in any that it saw)."""
        columns = as_table(table)
        columns = self._chosen(columns) if self.columns else columns
        rows = len(next(iter(columns.values()))) if columns else 0
        result: Array = np.zeros(rows, dtype=bool)
        for values in columns.values():
            result |= missing(values)
        return result

    def fit_target(self, values: Any, *, task: str | None = None, name: str = "target") -> Preprocessing:
        """Learn the classes, or mean and scale, of the target; ``task=None`` lets `find_task` decide.

        Raises ValueError for missing values, a target with one value only, and a regression of text.
        """
        return self.fit_target_blocks([{name: values}], str(name), task=task)

    def fit_target_blocks(
        self, blocks: Iterable[Mapping[str, Any]], name: str, *, task: str | None = None
    ) -> Preprocessing:
        """Learn the target, as by `fit_target`, from the column ``name`` of a table that comes in parts.

        With ``missing="drop"`` rows that miss a value of any column of the parts are left out.
        """
        learner = TargetLearner(name, task)
        for block in blocks:
            columns = as_table(block)
            if self.missing == "drop" and len(columns) > 1:
                columns = without_gaps(columns)
            learner.add(columns[name])
        self.target = learner.learned(self.standardize != "none")
        return self

    def encode_target(self, values: Any, *, dtype: Any = np.float32) -> Array:
        """Return labels (rows,) of dtype int64, or standardised values (rows, 1) of ``dtype``.

        Raises ValueError for a class or a kind of value that `fit_target` did not see.
        """
        target = self._fitted_target()
        return target.encode(as_column(target.name, values), dtype)

    def decode_target(self, values: Any) -> Array:
        """Return the meaning of predictions: the class of each label, or values in the unit of the target.

        Classes come as int64, float64 or text, numbers as float64, of the shape of ``values``.
        """
        return self._fitted_target().decode(np.asarray(values))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able lists, text and numbers; `from_dict` gives an equal object.

        Raises ValueError for what `from_dict` would refuse, so that no file is written that cannot be read.
        """
        entries = {
            "format": _FORMAT,
            "standardize": self.standardize,
            "missing": self.missing,
            "max_categories": self.max_categories,
            "columns": [column.to_dict() for column in self.columns],
            "target": None if self.target is None else self.target.to_dict(),
        }
        self.from_dict(entries)
        return entries

    @classmethod
    def from_dict(cls, entries: Any) -> Preprocessing:
        """Rebuild an object from the result of `to_dict`; input is not trusted, anything else is a ValueError."""
        if not isinstance(entries, dict):
            raise ValueError(f"preprocessing: got a {type(entries).__name__}, expected a mapping")
        found = entries.get("format")
        if isinstance(found, bool) or found != _FORMAT:
            raise ValueError(f"preprocessing: format {found!r} is unknown, expected {_FORMAT}")
        try:
            result = cls(
                standardize=entries.get("standardize", ""),
                missing=entries.get("missing", ""),
                max_categories=entries.get("max_categories", 0),
            )
        except TypeError as error:
            raise ValueError(str(error)) from None
        columns = entries.get("columns")
        if not isinstance(columns, list):
            raise ValueError("preprocessing: columns is missing or no list")
        result.columns = tuple(column_from_dict(entry) for entry in columns)
        names = [column.name for column in result.columns]
        if len(set(names)) != len(names):
            raise ValueError("preprocessing: two columns have the same name")
        target = entries.get("target")
        result.target = None if target is None else target_from_dict(target)
        return result

    def _fitted_target(self) -> ClassTarget | NumberTarget:
        if self.target is None:
            raise ValueError("Preprocessing: no target was fitted; call fit_target first")
        return self.target

    def _refuse_missing(self, columns: Mapping[str, Array]) -> None:
        if self.missing == "mean":
            return
        for name, values in columns.items():
            refuse_missing(name, missing(values), self.missing)

    def _chosen(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return the columns `fit` saw, as the kinds it saw; an error names the nearest to a missing one."""
        chosen = {}
        for entry in self.columns:
            if entry.name not in columns:
                hint = nearest(entry.name, columns)
                has = shortened(list(columns))
                raise ValueError(f"column {entry.name!r} is missing{hint}; the table has {has}")
            values = columns[entry.name]
            if isinstance(entry, CategoryColumn):
                values = as_text(truth_texts(entry.categories, values))
            elif is_text(values := truth_numbers(values)):
                present = np.asarray(values != "", dtype=bool)
                if present.any():
                    row = first_row(present)
                    raise ValueError(
                        f"column {entry.name!r} is text ({values[row - 1]!r} in row {row}, counted from 1), "
                        "expected numbers"
                    )
                values = np.full(len(values), np.nan)
            else:
                refuse_infinite(entry.name, values)
            chosen[entry.name] = values
        return chosen


def _standardized(entries: Sequence[NumberColumn], columns: Mapping[str, Array], x: Array) -> None:
    """Write the features of columns of numbers into ``x``; a ValueError for values too large for it."""
    at_once = max(_CELLS_AT_ONCE // max(len(x), 1), 1)
    for start in range(0, len(entries), at_once):
        group = entries[start : start + at_once]
        features = x[:, start : start + len(group)]
        values = [filled(columns[entry.name], entry.fill) for entry in group]
        with np.errstate(over="ignore"):
            if all(entry.mean == 0.0 and entry.scale == 1.0 for entry in group):
                for place, column in enumerate(values):
                    features[:, place] = column
            else:
                scaled = np.stack(values)
                scaled -= np.array([[entry.mean] for entry in group])
                scaled /= np.array([[entry.scale] for entry in group])
                features[...] = scaled.T
        finite = np.isfinite(features).all(axis=0)
        if not finite.all():
            raise ValueError(
                f"column {group[int(finite.argmin())].name!r} has values too large for {x.dtype}"
            )
