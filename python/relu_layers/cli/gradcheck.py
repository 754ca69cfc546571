"""`relu-layers gradcheck`: the gradients of a model file against differences of its loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relu_layers.cli import report
from relu_layers.cli.errors import readable
from relu_layers.cli.labelled_data import load_labelled_data
from relu_layers.cli.reading import reading_options
from relu_layers.gradient_check import GradcheckReport
from relu_layers.gradient_check import gradcheck as check

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

_STYLES = {"ok": "green", "kink": "yellow", "wrong": "bold red"}


@click.command(short_help="Check a model's gradients on rows of DATA.")
@click.argument("model", type=click.Path())
@click.argument("data")
@click.option("--rows", type=click.IntRange(min=1), default=8, show_default=True, help="Rows of DATA to use.")
@click.option(
    "--entries",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Numbers to check; of larger networks a sample.",
)
@click.option("--all", "every", is_flag=True, help="Check every number, however long it takes.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Picks rows and sample."
)
@click.option(
    "--target", metavar="COLUMN", help="True values, where the model file does not name the column."
)
@reading_options
def gradcheck(
    model: str,
    data: str,
    rows: int,
    entries: int,
    every: bool,
    seed: int,
    target: str | None,
    form: CsvForm,
) -> None:
    """Compare the gradients of the model file MODEL with differences of its loss on rows of DATA.

    DATA is a file as `relu-layers train` takes, with the target column, or digits, two-moons, xor. The exit code is 0
    if all gradients are right (a kink, where a unit sits exactly at its corner, is no mistake) and 1 if one is
    wrong.
    """
    with readable():
        given = load_labelled_data(Path(model), data, target, form)
        x, y = given.some(rows, seed)
        found = check(given.model, x, y, given.loss, max_entries=None if every else entries, seed=seed)
        _print(Console(highlight=False), found, len(x))
    if not found:
        raise SystemExit(1)


def _print(console: Console, found: GradcheckReport, rows: int) -> None:
    """Print the verdict, a table of the arrays, and every wrong entry and kink."""
    report.say(console, found.headline(), "bold green" if found else "bold red")
    report.say(console, f"{rows:,} rows; {found.basis()}")
    console.print()
    header, lines = found.table()
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for line in lines:
        cells = [Text(cell, style=_style(name, cell)) for name, cell in zip(header, line, strict=True)]
        table.add_row(*cells)
    console.print(table)
    remarks = found.remarks()
    if remarks:
        console.print()
    for remark in remarks:
        kind = remark.partition(" ")[0]
        report.say(console, remark, _STYLES.get(kind, ""))


def _style(name: str, cell: str) -> str:
    return _STYLES.get(name, "") if cell != "0" else "dim"
