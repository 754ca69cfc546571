"""From a table to the arrays of a trainer: target found, gaps handled, rows split, all turned into numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from relu_layers.cli.settings import Settings
from relu_layers.cli.splitting import Split, split_rows
from relu_layers.cli.tables import Table, load_table
from relu_layers.preprocessing import ClassTarget, Preprocessing
from relu_layers.preprocessing.columns import as_column, refuse_infinite

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_MANY_CLASSES = 1000


@dataclass(frozen=True)
class Dataset:
    """Arrays of the three parts, as ``(x, y)``, with their table and preprocessing; ``notes`` are for the user."""

    table: Table
    preprocessing: Preprocessing
    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[object, ...]:
        """The classes of the target, none for a regression."""
        target = self.preprocessing.target
        return target.classes if isinstance(target, ClassTarget) else ()


def prepare(settings: Settings, rng: np.random.Generator) -> Dataset:
    """Return the data set that the settings describe; a problem with it is a ValueError with the way out."""
    table = load_table(settings.data, text=settings.category, rng=rng)
    notes = [f"note: {note}" for note in table.notes]
    target = _target_name(settings, table)
    for name in (*settings.ignore, *settings.category):
        table.column(name)
    if target in settings.ignore:
        raise ValueError(f"column {target!r} is the target and cannot be ignored as well")
    kept = table.without(settings.ignore)
    table = Table(table.name, {name: as_column(name, values) for name, values in kept.items()}, target)
    if len(table.columns) < 2:
        raise ValueError(f"{table.name} has no column beside the target {target!r} to learn from")
    for name, values in table.columns.items():
        refuse_infinite(name, values)
    table, dropped = _without_gaps(table, target, settings.missing)
    if dropped:
        notes.append(f"note: left out {dropped:,} rows with missing values, {table.rows:,} remain")
    preprocessing = Preprocessing(standardize=settings.standardize, missing=settings.missing)
    values = table.column(target)
    preprocessing.fit_target(values, task=settings.task, name=target)
    notes.append(_task_note(preprocessing, values, settings.task))
    split = _split(preprocessing, values, settings, rng)
    features = Table(table.name, table.without({target}))
    if not isinstance(preprocessing.target, ClassTarget):
        preprocessing.fit_target(values[split.train], task="regression", name=target)
    preprocessing.fit(features.take(split.train).columns)
    parts = []
    for rows in (split.train, split.validation, split.test):
        x = preprocessing.transform(features.take(rows).columns, unknown="zero", dtype=settings.dtype)
        parts.append((x, preprocessing.encode_target(values[rows], dtype=settings.dtype)))
    return Dataset(table, preprocessing, parts[0], parts[1], parts[2], tuple(notes))


def _target_name(settings: Settings, table: Table) -> str:
    """Return the name of the target column: that of --target, or of the data set itself."""
    name = settings.target or table.target
    if name is None:
        names = ", ".join(list(table.columns)[:12]) + (", ..." if len(table.columns) > 12 else "")
        raise ValueError(f"which column is to be predicted? give --target COLUMN, one of: {names}")
    table.column(name)
    return name


def _without_gaps(table: Table, target: str, missing: str) -> tuple[Table, int]:
    """Return the table without the rows that cannot be used, and their number; or raise with the choices."""
    plain = Preprocessing()
    gaps = {name: plain.missing_rows({name: values}) for name, values in table.columns.items()}
    if missing == "drop":
        keep = ~np.logical_or.reduce(list(gaps.values()))
        if not keep.any():
            raise ValueError(f"every row of {table.name} misses a value: --missing drop would leave none")
        return table.take(np.flatnonzero(keep)), int(np.sum(~keep))
    for name, where in gaps.items():
        if not where.any() or (missing == "mean" and name != target):
            continue
        fill = "" if name == target else "--missing mean (fill with the mean or the most frequent) or "
        raise ValueError(
            f"column {name!r} has {int(where.sum()):,} missing values, the first in row "
            f"{int(np.argmax(where)) + 1} (counted from 1); choose {fill}--missing drop (leave such rows out)"
        )
    return table, 0


def _task_note(preprocessing: Preprocessing, values: Array, asked: str | None) -> str:
    """Return the task that was found for the target, and the option that changes it."""
    target = preprocessing.target
    assert target is not None
    if isinstance(target, ClassTarget):
        if len(target.classes) > _MANY_CLASSES:
            raise ValueError(
                f"target {target.name!r} has {len(target.classes):,} different values, too many for classes; "
                "choose another --target, or --task regression if they are numbers"
            )
        shown = [*map(str, target.classes[:10]), *(["..."] if len(target.classes) > 10 else [])]
        line = f"target {target.name!r}: classification, {len(target.classes)} classes ({', '.join(shown)})"
        other = "regression"
    else:
        line, other = f"target {target.name!r}: regression", "classification"
    doubtful = asked is None and values.dtype.kind == "i"
    return line + (f"; --task {other} would change that" if doubtful else "")


def _split(
    preprocessing: Preprocessing, values: Array, settings: Settings, rng: np.random.Generator
) -> Split:
    labels = preprocessing.encode_target(values) if isinstance(preprocessing.target, ClassTarget) else None
    return split_rows(len(values), labels, settings.validation, settings.test, rng)
