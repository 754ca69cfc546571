"""`relu-layers predict`: a model file applied to data, its preprocessing included."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click
import numpy as np
from rich.console import Console

from relu_layers import checkpoint
from relu_layers.cli import report
from relu_layers.cli.answers import UNSAID, answers, header_of, meaning
from relu_layers.cli.baselines import constant_prediction
from relu_layers.cli.errors import Problem, readable, refuse_overwriting
from relu_layers.cli.examining import decimal_commas, refuse
from relu_layers.cli.reading import reading_options
from relu_layers.cli.tables import Table, load_table, standard_input
from relu_layers.preprocessing import CategoryColumn, ClassTarget, NumberColumn, Preprocessing
from relu_layers.preprocessing.columns import as_column, is_text

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_ROWS_ON_A_TERMINAL = 10


class _Kept(NamedTuple):
    """The columns of the data that are written beside the predictions, and how the file is written."""

    names: tuple[str, ...]
    every: bool
    form: CsvForm


@click.command(short_help="Apply the model file MODEL to DATA.")
@click.argument("model", type=click.Path())
@click.argument("data")
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write a CSV file, one line per row."
)
@click.option(
    "--safe-csv",
    is_flag=True,
    help="Put an apostrophe before texts that a spreadsheet would take for a formula (= + - @, tab, return).",
)
@click.option("--proba", is_flag=True, help="Add the probability of every class.")
@click.option(
    "--unknown-category",
    type=click.Choice(["error", "zero"]),
    default="error",
    show_default=True,
    help="A category that training did not see: refuse it, or treat it as none of the known.",
)
@click.option(
    "--target", metavar="COLUMN", help="True values, where the model file does not name the column."
)
@click.option("--keep", multiple=True, metavar="COLUMN", help="Write this column of DATA too (repeatable).")
@click.option("--keep-all", is_flag=True, help="Write all columns of DATA too.")
@reading_options
def predict(
    model: str,
    data: str,
    output: str | None,
    safe_csv: bool,
    proba: bool,
    unknown_category: str,
    target: str | None,
    keep: tuple[str, ...],
    keep_all: bool,
    form: CsvForm,
) -> None:
    """Apply the model file MODEL to DATA: a CSV, TSV (both also .gz), Parquet, Arrow, NPZ or HDF5 file, - for
    CSV from the standard input, or digits, two-moons, xor.

    Columns are found by name. If the target is among them, the accuracy (or R2) is printed as well. Without
    --output the predictions go to the standard output as CSV; on a terminal the first ten rows.
    """
    with readable():
        refuse_overwriting(output, model, data)
        kept = _Kept(keep, keep_all, form)
        _predict(Path(model), data, output, safe_csv, proba, unknown_category, target, kept)


def _predict(
    path: Path,
    data: str,
    output: str | None,
    safe: bool,
    proba: bool,
    unknown: str,
    target_name: str | None,
    kept: _Kept,
) -> None:
    """Run the whole command."""
    if not path.exists():
        raise Problem(f"{path}: no such model file")
    model = checkpoint.load(path)
    preprocessing: Preprocessing | None = model.preprocessing
    text = [column.name for column in columns_of(preprocessing) if isinstance(column, CategoryColumn)]
    target = None if preprocessing is None else preprocessing.target
    if isinstance(target, ClassTarget) and isinstance(target.classes[0], str):
        text.append(target.name)
    content = standard_input(data)
    table = load_table(data, text=text, form=kept.form, content=content)
    refuse_commas(preprocessing, table, kept.form)
    beside = _columns_kept(kept, data, table, content)
    name = target_name or (table.target if target is None else target.name)
    if target_name is not None:
        table.column(target_name)
    x, usable = features_of(model, preprocessing, table, unknown, name)
    y = model(x)
    if proba and (
        not isinstance(target, ClassTarget)
        if target is not None
        else (y.shape[-1] < 2 or model.predicts == "numbers")
    ):
        raise Problem("--proba: this model predicts numbers, which have no probabilities")
    probabilities = model.predict_proba(x) if proba else None
    truth = table.column(name)[usable] if name is not None and name in table.columns else None
    kind = meaning(model, y.shape[-1], asked_for_classes=proba, truth=truth)
    predicted = answers(preprocessing, y, kind)
    rows = _rows(predicted, probabilities, usable, 9 if y.dtype == np.float32 else 17)
    header = [*beside, *header_of(predicted)]
    if probabilities is not None:
        classes = target.classes if isinstance(target, ClassTarget) else range(y.shape[-1])
        header += [f"probability_{one}" for one in classes]
    if len(set(header)) < len(header):
        doubled = next(column for column in beside if header.count(column) > 1)
        raise Problem(f"--keep: a column of the predictions is called {doubled!r} as well")
    if beside:
        rows = [[*cells, *row] for *cells, row in zip(*beside.values(), rows, strict=True)]
    console = Console(highlight=False, stderr=True)
    numbers = predicted.dtype.kind in "iuf" and not beside
    texts = () if numbers else (cell for row in rows for cell in row)
    formula = next((cell for cell in texts if report.is_formula(cell)), None)
    if safe:
        rows = [[report.as_text(cell) for cell in row] for row in rows]
    elif formula is not None:
        report.say(console, f"note: a spreadsheet takes {formula!r} for a formula; --safe-csv prevents that")
    if output is not None:
        report.write_csv(Path(output), header, rows)
        console.print(f"wrote {output}: {len(rows):,} predictions", soft_wrap=True, markup=False)
    else:
        _print_rows(header, rows)
    if target is None and kind == "unsaid":
        report.say(console, UNSAID.format(count=y.shape[-1]))
    if not usable.all():
        report.say(console, f"no prediction for {int(np.sum(~usable)):,} rows that miss a value")
    if truth is not None:
        _print_score(console, preprocessing, truth, y, predicted)


def _columns_kept(kept: _Kept, data: str, table: Table, content: bytes | None) -> dict[str, list[object]]:
    """Return the columns of the data that are written beside the predictions, texts as they are in the file."""
    names = list(table.columns) if kept.every else list(dict.fromkeys(kept.names))
    for name in names:
        table.column(name)
    if not names:
        return {}
    if table.is_text_file:
        as_written = replace(kept.form, missing=frozenset())
        table = load_table(data, text=table.columns, form=as_written, content=content)
    return {name: ["" if cell != cell else cell for cell in table.columns[name].tolist()] for name in names}


def refuse_commas(preprocessing: Preprocessing | None, table: Table, form: CsvForm | None) -> None:
    """Raise a ValueError where a column that should be numbers has decimal commas, with the option."""
    numbers = {column.name for column in columns_of(preprocessing) if isinstance(column, NumberColumn)}
    texts = {
        name: values
        for name, values in (
            (name, as_column(name, table.columns[name])) for name in numbers & table.columns.keys()
        )
        if is_text(values)
    }
    _, finding = decimal_commas(table, texts, form)
    refuse(table.name, [] if finding is None else [finding])


def columns_of(preprocessing: Preprocessing | None) -> tuple[Any, ...]:
    """Return the preprocessing's columns."""
    return () if preprocessing is None else preprocessing.columns


def features_of(
    model: Any, preprocessing: Preprocessing | None, table: Table, unknown: str, target: str | None
) -> tuple[Array, Array]:
    """Return the model's inputs and which rows of the table they are; rows with gaps may be left out."""
    usable: Array = np.ones(table.rows, dtype=bool)
    inputs = next((layer.in_features for layer in model.layers if hasattr(layer, "in_features")), None)
    if preprocessing is not None and preprocessing.columns:
        if preprocessing.missing == "drop":
            # Filled for the moment, so that errors count the rows as the file does.
            usable = ~preprocessing.missing_rows(table.columns)
            preprocessing = Preprocessing.from_dict(preprocessing.to_dict() | {"missing": "mean"})
        x = preprocessing.transform(table.columns, unknown=unknown, dtype=model.dtype)[usable]
    else:
        columns = table.without({target} if target else ())
        if inputs is not None and len(columns) != inputs:
            raise ValueError(
                f"the model takes {inputs} columns but {table.name} has {len(columns)} (beside the target); "
                "the model file has no column names, so all are taken in order"
            )
        plain = Preprocessing(standardize="none").fit(columns)
        x = plain.transform(columns, dtype=model.dtype)
    if inputs is not None and x.shape[1] != inputs:
        raise ValueError(f"the model takes {inputs} features but its preprocessing gives {x.shape[1]}")
    return x, usable


def _rows(predicted: Array, probabilities: Array | None, usable: Array, digits: int) -> list[list[object]]:
    """Return the lines to write, numbers with ``digits`` digits; a row without prediction is blank."""
    flat = predicted.ravel().tolist()
    if predicted.dtype.kind == "f":
        flat = [f"{value:.{digits}g}" for value in flat]
    width = predicted.shape[1] if predicted.ndim > 1 else 1
    # Rows of as many neighbours, each taken from the same iterator.
    cells: list[list[object]] = [*map(list, zip(*[iter(flat)] * width, strict=True))]
    if probabilities is not None:
        for line, row in zip(cells, probabilities.tolist(), strict=True):
            line.extend(f"{value:.6g}" for value in row)
    if usable.all():
        return cells
    columns = len(header_of(predicted)) + (0 if probabilities is None else probabilities.shape[1])
    blank: list[object] = [""] * columns
    given = iter(cells)
    return [next(given) if one else blank for one in usable.tolist()]


def _print_rows(header: list[str], rows: list[list[object]]) -> None:
    """Print the predictions as CSV; on a terminal a few of them, and how to get all."""
    terminal = sys.stdout.isatty()
    shown = rows[:_ROWS_ON_A_TERMINAL] if terminal else rows
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(shown)
    sys.stdout.flush()
    if len(shown) < len(rows):
        click.echo(f"... {len(rows) - len(shown):,} more: --output predictions.csv writes all", err=True)


def _print_score(
    console: Console, preprocessing: Preprocessing | None, values: Array, y: Array, predicted: Array
) -> None:
    """Tell how good the predictions are; if the true values cannot be used, why."""
    part = "given target"
    target = None if preprocessing is None else preprocessing.target
    if preprocessing is not None and target is not None:
        try:
            truth = preprocessing.encode_target(values, dtype=np.float64)
        except ValueError as error:
            report.say(console, f"no score: {error}")
            return
        if isinstance(target, ClassTarget):
            most = constant_prediction(truth, len(target.classes))
            share = float(np.mean(truth == most))
            line = f"always {target.classes[int(most)]!r} would be right in {share:.2%}"
            report.print_classification(console, part, None, truth, y, target.classes, line)
        else:
            decoded = preprocessing.decode_target(truth).ravel()
            report.print_regression(console, part, None, decoded, predicted)
    elif values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        report.say(console, "no score: the true values are not all numbers")
    elif predicted.ndim > 1:
        report.say(
            console, f"no score: the model gives {predicted.shape[1]} outputs, not one class or number"
        )
    elif y.shape[-1] > 1:
        right = int(np.sum(values == predicted))
        report.say(console, f"{part}: accuracy {right / len(values):.2%} ({right:,} of {len(values):,})")
    else:
        report.print_regression(console, part, None, values, predicted)
