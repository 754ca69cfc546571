"""From a table to the arrays of a trainer: target found, gaps handled, rows split, all turned into numbers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from relu_layers.cli.card import Origin
from relu_layers.cli.choosing import chosen, is_open, usual
from relu_layers.cli.errors import form_option
from relu_layers.cli.examining import MOST_CATEGORIES, Finding, examine, refuse
from relu_layers.cli.settings import Settings, fitted_to
from relu_layers.cli.splitting import Split, split_rows
from relu_layers.cli.tables import Table, load_table, standard_input
from relu_layers.preprocessing import ClassTarget, Preprocessing
from relu_layers.preprocessing.columns import as_column, as_text, is_text, missing

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_MANY_CLASSES = 1000


@dataclass(frozen=True)
class Dataset:
    """Arrays of the three parts, as ``(x, y)``, with their table and preprocessing; ``notes`` are for the user.

    ``settings`` are those given, with what depends on the number of rows; ``origin`` is for the model's card.
    """

    table: Table
    preprocessing: Preprocessing
    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]
    notes: tuple[str, ...]
    settings: Settings
    origin: Origin

    @property
    def classes(self) -> tuple[object, ...]:
        """The classes of the target, none for a regression."""
        target = self.preprocessing.target
        return target.classes if isinstance(target, ClassTarget) else ()


def prepare(settings: Settings, rng: np.random.Generator, ranks: int = 1) -> Dataset:
    """Return the data set that the settings describe; its problems are one ValueError with the way out of all.

    ``ranks`` processes train together, as one whose groups of minibatches are so many times larger.
    """
    loaded = _loaded(settings, rng)
    table, found = loaded.table, loaded.findings
    whole = table
    notes = [f"note: {note}" for note in table.notes if not _is_said(note, settings)]
    target = _target_name(loaded.target, table, found)
    for name in (*loaded.ignore, *loaded.category):
        table.column(name)
    if target is not None and target in loaded.ignore:
        raise ValueError(f"column {target!r} is the target and cannot be ignored as well")
    table = replace(table, columns=table.without(loaded.ignore))
    if target is not None and len(table.columns) < 2:
        raise ValueError(f"{table.name} has no column beside the target {target!r} to learn from")
    examined = examine(table, target, settings.missing, loaded.category, loaded.form)
    refuse(table.name, [*found, *examined.findings], loaded.replaced)
    assert target is not None
    notes += [f"note: {note}" for note in examined.notes]
    table, dropped = _without_gaps(replace(table, columns=examined.columns), target, settings.missing)
    if dropped:
        why = "missing values" if settings.missing == "drop" else f"no {target!r}"
        notes.append(f"note: left out {dropped:,} rows with {why}, {table.rows:,} remain")
    filled = {name: int(missing(column).sum()) for name, column in table.columns.items()}
    origin = Origin(whole.name, whole.rows, len(whole.columns), loaded.ignore, dropped, filled)
    preprocessing = Preprocessing(
        standardize=settings.standardize,
        missing=settings.missing,
        max_categories=_most_categories(table, loaded.category),
    )
    values = table.column(target)
    preprocessing.fit_target(values, task=settings.task, name=target)
    notes.append(_task_note(preprocessing, values, settings.task))
    training = round(table.rows * (1.0 - settings.test))
    candidate = usual(settings, training)
    if is_open(settings, training):
        # The same test rows as below, whatever part of the others becomes validation.
        trial = replace(settings, validation=0.0, accumulate=settings.accumulate * ranks)
        parts = _parts(table, target, preprocessing, trial, copy.deepcopy(rng))
        candidate, note = chosen(trial, parts[0], _class_count(preprocessing))
        notes.append(note)
    settings = fitted_to(settings, table.rows, *candidate)
    parts = _parts(table, target, preprocessing, settings, rng)
    return Dataset(table, preprocessing, parts[0], parts[1], parts[2], tuple(notes), settings, origin)


def _class_count(preprocessing: Preprocessing) -> int:
    return len(preprocessing.target.classes) if isinstance(preprocessing.target, ClassTarget) else 0


def _parts(
    table: Table, target: str, preprocessing: Preprocessing, settings: Settings, rng: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Return rows and targets for training, validation and test; the preprocessing is fitted on the first."""
    values = table.column(target)
    split = _split(preprocessing, values, settings, rng)
    features = Table(table.name, table.without({target}))
    if not isinstance(preprocessing.target, ClassTarget):
        preprocessing.fit_target(values[split.train], task="regression", name=target)
    preprocessing.fit(features.take(split.train).columns)
    parts = []
    for rows in (split.train, split.validation, split.test):
        x = preprocessing.transform(features.take(rows).columns, unknown="zero", dtype=settings.dtype)
        parts.append((x, preprocessing.encode_target(values[rows], dtype=settings.dtype)))
    return parts


class _Loaded(NamedTuple):
    """A table as it could be read: what is to be said about its file, and the columns that the settings name."""

    table: Table
    form: CsvForm | None
    findings: list[Finding]
    target: str | None
    ignore: tuple[str, ...]
    category: tuple[str, ...]
    # Options that name columns by cells of the first line, which is data.
    replaced: tuple[str, ...] = ()


def _loaded(settings: Settings, rng: np.random.Generator) -> _Loaded:
    """Return the table; where its file is written in another way than was said, read in that way.

    So all its problems are found at once.
    """
    from relu_layers.sources.csv_form import FormError, is_row_of_data

    form, findings = settings.form, []
    content = standard_input(settings.data)
    while True:
        try:
            table = load_table(settings.data, text=settings.category, rng=rng, form=form, content=content)
        except FormError as error:
            assert form is not None
            findings.append(Finding(error.problem, (form_option(error),)))
            change: dict[str, Any] = {error.name: error.value}
            form = replace(form, **change)
            continue
        total = None if form is None or form.skip_footer is not None else _total_in(table)
        if form is not None and total is not None:
            line = f"the last row of {table.name} looks like one of totals or means ({total!r})"
            findings.append(Finding(line, (("--skip-footer", "1"),)))
            form = replace(form, skip_footer=1)
            continue
        if form is None or not form.header or not is_row_of_data(table.first_line):
            break
        shown = ", ".join(table.first_line[:4])
        line = f"the first line of {table.name} is taken for names, but holds numbers ({shown})"
        findings.append(Finding(line, (("--no-header", ""),)))
        form = replace(form, header=False)
    loaded = _Loaded(table, form, findings, settings.target, settings.ignore, settings.category)
    if form is not None and settings.form is not None and form.header != settings.form.header:
        return _by_place(loaded)
    return loaded


def _total_in(table: Table) -> str | None:
    """Return the cell that calls the last row of a text file one of totals, in a column that has it nowhere else."""
    from relu_layers.sources.csv_layout import is_total

    for values in table.columns.values() if table.is_text_file else ():
        if is_text(values) and is_total(str(values[-1])) and int(np.sum(values == values[-1])) == 1:
            return str(values[-1])
    return None


def _by_place(loaded: _Loaded) -> _Loaded:
    """Return the names that are cells of the first line, which is data, as those of the columns these are in."""
    table = loaded.table
    cells = {str(as_text(as_column(name, values))[0]): name for name, values in table.columns.items()}
    target = cells.get(loaded.target or "")
    ignore = tuple(cells[name] for name in loaded.ignore if name in cells)
    category = tuple(cells[name] for name in loaded.category if name in cells)
    options = [("--ignore", name) for name in ignore] + [("--category", name) for name in category]
    options += [] if target is None else [("--target", target)]
    line = f"without names the columns are called {', '.join(list(table.columns)[:3])}, ..."
    findings = [*loaded.findings, Finding(line, tuple(options))]
    return _Loaded(
        table, loaded.form, findings, target, ignore, category, ("--ignore", "--category", "--target")
    )


def _is_said(note: str, settings: Settings) -> bool:
    """Return whether the user knows already, having called the column one of names."""
    return any(note.startswith(f"column {name!r} is read as text") for name in settings.category)


def _target_name(name: str | None, table: Table, found: list[Finding]) -> str | None:
    """Return the name of the target column: that of --target, or of the data set itself."""
    name = name or table.target
    if name is None:
        names = ", ".join(list(table.columns)[:12]) + (", ..." if len(table.columns) > 12 else "")
        line = f"which column is to be predicted? give --target COLUMN, one of: {names}"
        found.append(Finding(line, (("--target", "COLUMN"),)))
        return None
    table.column(name)
    return name


def _most_categories(table: Table, named: tuple[str, ...]) -> int:
    """Return how many categories a column may have: those that are said to hold names as many as they do."""
    counts = [len(np.unique(table.columns[name])) for name in named if name in table.columns]
    return max([MOST_CATEGORIES, *counts])


def _without_gaps(table: Table, target: str, rule: str) -> tuple[Table, int]:
    """Return the table without the rows that cannot be used, and their number.

    A target cannot be filled: rows without it are left out by either rule.
    """
    gaps = {name: missing(values) for name, values in table.columns.items()}
    keep = ~(np.logical_or.reduce(list(gaps.values())) if rule == "drop" else gaps[target])
    if not keep.any():
        what = "misses a value" if rule == "drop" else f"misses its {target!r}"
        raise ValueError(f"every row of {table.name} {what}: --missing {rule} would leave none")
    return (table, 0) if keep.all() else (table.take(np.flatnonzero(keep)), int(np.sum(~keep)))


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
    return split_rows(len(values), labels, settings.validation or 0.0, settings.test, rng)
