"""How good the predictions are, as words and tables: confusion matrix, R2 and RMSE; and the run's files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relu_layers._support.files import write_atomically
from relu_layers.cli.errors import Problem
from relu_layers.cli.scores import are_uneven, classification_scores, regression_scores

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_WIDEST_CONFUSION = 12
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line, wrapped between words on a terminal and left in one piece elsewhere."""
    console.print(Text(text, style=style), soft_wrap=not console.is_terminal)


def print_classification(
    console: Console,
    part: str,
    loss: float | None,
    labels: Array,
    outputs: Array,
    names: Sequence[object],
    baselines: str = "",
) -> None:
    """Print loss and accuracy, what to compare with, the confusions, and scores per class where they are uneven."""
    scores = classification_scores(labels, outputs, names)
    right, predicted = scores["right"], outputs.argmax(axis=1)
    loss_text = "" if loss is None else f"loss {loss:.4f}, "
    share = f"{scores['accuracy']:.2%} ({right:,} of {len(labels):,})"
    say(console, f"{part}: {loss_text}accuracy {share}", "bold")
    if baselines:
        say(console, baselines)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    if len(names) <= _WIDEST_CONFUSION:
        console.print(Text("rows: true class, columns: predicted", style="dim"))
        console.print(_confusion(counts, names))
        if are_uneven(scores):
            console.print(_per_class(scores["classes"]))
    elif right < len(labels):
        say(console, _mistakes(counts, names))


def print_regression(
    console: Console, part: str, loss: float | None, truth: Array, predicted: Array, baselines: str = ""
) -> None:
    """Print loss, R2, root mean squared error and mean absolute error, in the unit of the target."""
    scores = regression_scores(truth, predicted)
    score = "" if scores["r2"] is None else f"R2 {scores['r2']:.4f}, "
    loss_text = "" if loss is None else f"loss {loss:.4f}, "
    error = f"RMSE {scores['rmse']:.4g}, mean absolute error {scores['mae']:.4g}"
    say(console, f"{part}: {loss_text}{score}{error} ({len(truth):,} rows)", "bold")
    if baselines:
        say(console, baselines)


def _per_class(classes: dict[str, dict[str, Any]]) -> Table:
    """Return the table of scores per class."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("class", "rows", "recall", "F1", "AUC"):
        table.add_column(name, justify="left" if name == "class" else "right", no_wrap=True)
    for name, entry in classes.items():
        cells = ["" if entry[key] is None else f"{entry[key]:.3f}" for key in ("recall", "f1", "auc")]
        table.add_row(Text(_short(name)), f"{entry['rows']:,}", *cells)
    return table


def _confusion(counts: Array, names: Sequence[object]) -> Table:
    """Return the table of true classes (rows) against predicted ones; pairs that never occurred stay blank."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(_short(name), justify="right", no_wrap=True)
    for index, (name, row) in enumerate(zip(names, counts, strict=True)):
        cells = [
            Text(f"{count:,}" if count else "\u00b7", style=_cell_style(count, column == index))
            for column, count in enumerate(row.tolist())
        ]
        table.add_row(Text(_short(name), style="bold"), *cells)
    return table


def _cell_style(count: int, diagonal: bool) -> str:
    if not count:
        return "dim"
    return "green" if diagonal else "red"


def _mistakes(counts: Array, names: Sequence[object]) -> str:
    """Return the most frequent confusions in words, where a whole matrix would not fit."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:5]
    pairs = [divmod(int(flat), len(names)) for flat in order if wrong.flat[flat]]
    return "most frequent mistakes: " + ", ".join(
        f"{names[true]} taken for {names[guess]} ({wrong[true, guess]})" for true, guess in pairs
    )


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 10 else text[:9] + "\u2026"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file as a whole, so that no half file is ever seen."""

    def fill(file: BinaryIO) -> None:
        stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
        stream.detach()

    write_atomically(path, fill, stream=True)


def is_formula(cell: object) -> bool:
    """Return whether a spreadsheet would compute a text, which may be of whoever named the classes."""
    return isinstance(cell, str) and cell.startswith(_FORMULAS) and not _is_number(cell)


def as_text(cell: object) -> object:
    """Return a cell so that a spreadsheet shows it as it is: with an apostrophe before what it would compute."""
    return f"'{cell}" if is_formula(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def output_folder(name: str | None, data: str) -> Path:
    """Return the folder for the results, made and tried; without a name a new one called after the data."""
    if name is None:
        base = Path(data).stem
        taken = (Path(base if count == 1 else f"{base}-{count}") for count in range(1, 10_000))
        folder = next(path for path in taken if not path.exists())
    else:
        folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".relu-layers-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Problem(f"the output folder {folder} is not writable: {error.strerror}") from error
    return folder
