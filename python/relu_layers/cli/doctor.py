"""`relu-layers doctor`: is the installation sound, and is a model?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relu_layers.cli import report
from relu_layers.cli.errors import readable
from relu_layers.cli.installation import examine
from relu_layers.cli.labelled_data import load_labelled_data
from relu_layers.cli.reading import reading_options
from relu_layers.cli.settings import OPTIMIZERS
from relu_layers.cli.train import RealRange
from relu_layers.sanity import Check, SanityReport, sanity_check

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}


@click.command(short_help="Examine the installation, and a MODEL on DATA.")
@click.argument("model", type=click.Path(), required=False)
@click.argument("data", required=False)
@click.option(
    "--rows", type=click.IntRange(min=1), default=1000, show_default=True, help="Rows of DATA to use."
)
@click.option(
    "--optimizer",
    type=click.Choice(list(OPTIMIZERS)),
    default="adam",
    show_default=True,
    help="Whose updates are measured.",
)
@click.option(
    "--learning-rate",
    type=RealRange(min=0.0, min_open=True),
    help="Default: fits the optimizer, as in train.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Picks rows and fresh weights."
)
@click.option(
    "--target", metavar="COLUMN", help="True values, where the model file does not name the column."
)
@reading_options
def doctor(
    model: str | None,
    data: str | None,
    rows: int,
    optimizer: str,
    learning_rate: float | None,
    seed: int,
    target: str | None,
    form: CsvForm,
) -> None:
    """Examine the installation and, if they are given, the model file MODEL on rows of DATA.

    Every finding that is not as it should be comes with what to do about it. The exit code is 1 if a check
    fails.
    """
    if model is not None and data is None:
        raise click.UsageError("doctor needs DATA beside MODEL: rows whose target is known")
    console = Console(highlight=False)
    with readable():
        installed = examine()
        report.say(console, "installation", "bold")
        _print(console, installed)
        healthy = not any(check.verdict == "fail" for check in installed)
        if model is not None and data is not None:
            given = load_labelled_data(Path(model), data, target, form)
            x, y = given.some(rows, seed)
            build, usual = OPTIMIZERS[optimizer]
            own = build(usual if learning_rate is None else learning_rate)
            found = sanity_check(given.model, x, y, given.loss, optimizer=own, seed=seed)
            healthy = healthy and bool(found)
            console.print()
            report.say(console, f"{model} on {len(x):,} rows of {data}: {found.headline()}", "bold")
            _print(console, found.checks)
            _print_sizes(console, found)
    if not healthy:
        raise SystemExit(1)


def _print(console: Console, checks: list[Check]) -> None:
    """Print one row per check: verdict, name, finding and advice."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in checks:
        finding = Text(check.finding)
        if check.advice:
            finding.append(f"\n-> {check.advice}", style="italic")
        table.add_row(Text(check.verdict, style=_STYLES[check.verdict]), check.name, finding)
    console.print(table)


def _print_sizes(console: Console, found: SanityReport) -> None:
    """Print the sizes of parameters and their gradients."""
    header, lines = found.table()
    console.print()
    report.say(console, "root mean squares", "bold")
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console.print(table)
