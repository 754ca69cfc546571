"""Statistics of columns, learned part by part: the result does not depend on the parts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from relu_layers._support.arguments import choice, nearest
from relu_layers.preprocessing.columns import (
    Array,
    CategoryColumn,
    NumberColumn,
    is_text,
    missing,
    refuse_infinite,
    refuse_missing,
    shortened,
    unique_texts,
)
from relu_layers.preprocessing.moments import ColumnMoments, finish
from relu_layers.preprocessing.targets import (
    MOST_WHOLE_NUMBER_CLASSES,
    TASKS,
    ClassTarget,
    NumberTarget,
    asks_for_classes,
    class_names,
    refuse_gaps,
)


class ColumnLearner:
    """Learns mean and scale, or the categories, of a column without keeping it.

    Parameters
    ----------
    name : str
    max_categories : int
    rule : str
        What `missing` was said to mean, for errors.
    """

    def __init__(self, name: str, max_categories: int, rule: str) -> None:
        self.name = name
        self.rows = self.gaps = 0
        self.moments = ColumnMoments()
        self._max_categories, self._rule = max_categories, rule
        self._counts: Counter[str] = Counter()
        self._text: bool | None = None

    def add(self, values: Array) -> None:
        """Learn from more rows of the column, as `as_column` gives them."""
        if self._text is not True and values.dtype.kind in "if" and values.size:
            low, high = float(values.min()), float(values.max())
            if math.isfinite(low) and math.isfinite(high):  # hence neither gaps nor infinities
                self.rows += len(values)
                self._text = False
                self.moments.add_between(values, low, high)
                return
        gaps = missing(values)
        if self._rule != "mean":
            refuse_missing(self.name, gaps, self._rule, self.rows)
        present = values[~gaps]
        self.rows += len(values)
        self.gaps += len(values) - len(present)
        if not present.size:
            return
        before = self.rows - len(values)
        if self._text not in (None, is_text(values)):
            kinds = ("numbers", "text") if is_text(values) else ("text", "numbers")
            raise ValueError(
                f"column {self.name!r} holds {kinds[0]} up to row {before} and {kinds[1]} after it, "
                "expected one kind"
            )
        self._text = is_text(values)
        if self._text:
            texts, codes = unique_texts(present)
            self._counts.update(
                dict(zip(texts, np.bincount(codes, minlength=len(texts)).tolist(), strict=True))
            )
            self._refuse_many()
        else:
            refuse_infinite(self.name, values, before)
            self.moments.add(present)

    def learned(self, scaled: bool) -> NumberColumn | CategoryColumn:
        """Return the learned column; numbers are scaled only if ``scaled``."""
        if self.gaps == self.rows:
            raise ValueError(f"column {self.name!r} has no value in any row; leave it out")
        if self._text:
            categories = sorted(self._counts)
            # The first of equally frequent ones.
            return CategoryColumn(self.name, tuple(categories), max(categories, key=self._counts.__getitem__))
        mean, scale = self.moments.mean_and_scale()
        return (
            NumberColumn(self.name, mean, scale, mean) if scaled else NumberColumn(self.name, 0.0, 1.0, mean)
        )

    def _refuse_many(self) -> None:
        if len(self._counts) > self._max_categories:
            raise ValueError(
                f"column {self.name!r} is text with {len(self._counts)} different values "
                f"({shortened(sorted(self._counts))}), more than max_categories={self._max_categories}; "
                "leave it out, or raise the limit"
            )


class TargetLearner:
    """Learns the classes, or mean and scale, of a target without keeping it."""

    def __init__(self, name: str, task: str | None) -> None:
        if task is not None:
            choice("Preprocessing.fit_target", "task", task, TASKS)
        self.name, self._task = name, task
        self.rows = 0
        self._moments = ColumnMoments()
        self._first: Array | None = None
        # The different values so far; None as soon as they can no longer matter.
        self._values: Array | None = None
        self._counts_values = task != "regression"

    def add(self, column: Array) -> None:
        """Learn from more rows of the target, as `as_column` gives them."""
        if not column.size:
            return
        refuse_gaps(self.name, column, self.rows)
        text = is_text(column)
        if self._first is None:
            self._first = column[:1].copy()
        elif text != is_text(self._first):
            raise ValueError(f"target {self.name!r} holds text and numbers, expected one kind")
        if not text:
            refuse_infinite(self.name, column, self.rows)
            if self._task != "classification":
                self._moments.add(column)
        elif self._task == "regression":
            raise ValueError(
                f"target {self.name!r} is text ({column[0]!r} in row 1), but a regression needs numbers"
            )
        if self._counts_values:
            known = [] if self._values is None else [self._values]
            self._values = np.unique(np.concatenate([*known, np.unique(column)]))
            several = not text and len(self._values) > MOST_WHOLE_NUMBER_CLASSES
            self._counts_values = self._task == "classification" or not several
        self.rows += len(column)

    def learned(self, scaled: bool) -> ClassTarget | NumberTarget:
        """Return the learned target; a numeric one is scaled only if ``scaled``."""
        if self._first is None:
            raise ValueError(f"target {self.name!r} has no rows")
        values = self._values
        task = self._task
        if task is None:
            classes = values is not None and asks_for_classes(values, self.rows)
            task = "classification" if classes else "regression"
        if task == "regression":
            if self._moments.low == self._moments.high:
                raise ValueError(
                    f"target {self.name!r} is {self._first[0]} in every row: there is nothing to learn"
                )
            mean, scale = self._moments.mean_and_scale() if scaled else (0.0, 1.0)
            return NumberTarget(self.name, mean, scale)
        assert values is not None
        names = class_names(values)
        if len(names) < 2:
            raise ValueError(f"target {self.name!r} is {names[0]!r} in every row: there is nothing to learn")
        return ClassTarget(self.name, names)


def learned_columns(
    tables: Iterable[dict[str, Array]], max_categories: int, rule: str, target: str | None, task: str | None
) -> tuple[list[ColumnLearner], TargetLearner | None]:
    """Return the statistics of the columns of a table that comes in parts, and of the one called ``target``."""
    learners: dict[str, ColumnLearner] = {}
    aim = None if target is None else TargetLearner(target, task)
    for table in tables:
        columns = dict(table)
        if aim is not None:
            if aim.name not in columns:
                hint = nearest(aim.name, columns)
                raise ValueError(f"the table has no column {aim.name!r} for the target{hint}")
            aim.add(columns.pop(aim.name))
        if not learners:
            learners = {name: ColumnLearner(name, max_categories, rule) for name in columns}
        if learners.keys() != columns.keys():
            raise ValueError(
                f"a part of the table has columns {shortened(list(columns))}, "
                f"expected {shortened(list(learners))} as in the first"
            )
        for name, values in columns.items():
            learners[name].add(values)
    finish([learner.moments for learner in learners.values()])
    rows = next(iter(learners.values())).rows if learners else 0
    if not rows:
        raise ValueError(f"Preprocessing.fit: the table has no {'rows' if learners else 'columns'}")
    return list(learners.values()), aim


def pooled(
    learners: list[ColumnLearner], columns: tuple[NumberColumn | CategoryColumn, ...]
) -> tuple[NumberColumn | CategoryColumn, ...]:
    """Return the columns, those of numbers with one mean and one scale for all their values."""
    total = ColumnMoments()
    for learner, column in zip(learners, columns, strict=True):
        if isinstance(column, NumberColumn):
            total.merge(learner.moments, learner.gaps, column.fill)
    mean, scale = total.mean_and_scale()
    return tuple(
        replace(column, mean=mean, scale=scale) if isinstance(column, NumberColumn) else column
        for column in columns
    )
