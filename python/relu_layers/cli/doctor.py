"""`relu-layers doctor`: is the installation sound, and is a model?"""

from __future__ import annotations

import os
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relu_layers import ops, runtime
from relu_layers.cli import report
from relu_layers.cli.errors import readable
from relu_layers.cli.info import cpu_name
from relu_layers.cli.labelled import load_labelled
from relu_layers.cli.machine import cpu_quota, numpy_blas, threads_granted, usable_processors
from relu_layers.cli.settings import OPTIMIZERS
from relu_layers.cli.train import RealRange
from relu_layers.sanity import Check, SanityReport, sanity_check

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
def doctor(
    model: str | None,
    data: str | None,
    rows: int,
    optimizer: str,
    learning_rate: float | None,
    seed: int,
    target: str | None,
) -> None:
    """Examine the installation and, if they are given, the model file MODEL on rows of DATA.

    Every finding that is not as it should be comes with what to do about it. The exit code is 1 if a check
    fails.
    """
    if model is not None and data is None:
        raise click.UsageError("doctor needs DATA beside MODEL: rows whose target is known")
    console = Console(highlight=False)
    with readable():
        installed = installation()
        report.say(console, "installation", "bold")
        _print(console, installed)
        healthy = not any(check.verdict == "fail" for check in installed)
        if model is not None and data is not None:
            given = load_labelled(Path(model), data, target)
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


def installation() -> list[Check]:
    """Return what the package runs on, and what could be better."""
    build = runtime.build_info()
    return [
        Check("relu_layers", "ok", f"{build['version']}, compiled by {build['compiler']}"),
        Check("processor", "ok", cpu_name()),
        _target(build["target"], build["targets"]),
        _kernels(),
        _threads(build["threads"]),
        Check("NumPy", "ok", f"{np.__version__}, BLAS {numpy_blas()}"),
    ]


def _target(used: str, possible: list[str]) -> Check:
    told = f"{used}; this processor can run {', '.join(possible)}"
    if used == possible[0]:
        return Check("target", "ok", told)
    forced = os.environ.get("RELU_LAYERS_TARGET")
    advice = f"RELU_LAYERS_TARGET is {forced}: without it {possible[0]} would be used" if forced else ""
    return Check("target", "warn", told, advice or f"relu_layers.use_target({possible[0]!r}) is faster")


def _kernels() -> Check:
    """Compare a few kernels with the same formulas in plain NumPy."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for dtype in (np.float32, np.float64):
        x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((37, 41), (41, 29), (29,)))
        with np.errstate(all="ignore"):
            for name, arguments in (
                ("dense_forward", (x, w, b)),
                ("relu_forward", (x, 0.01)),
                ("relu_backward", (x, x[::-1].copy(), 0.01)),
                ("softmax_forward", (x,)),
            ):
                ours = getattr(ops, name)(*arguments)
                expected = getattr(ops.reference, name)(*arguments)
                size = np.abs(expected).max() * np.finfo(dtype).eps * x.shape[1]
                worst = max(worst, float(np.abs(ours - expected).max() / size))
    told = f"dense, relu and softmax are within {worst:.1%} of the rounding error that is allowed"
    if worst <= 1.0:
        return Check("kernels", "ok", told)
    return Check("kernels", "fail", told, "build the package anew on this machine, or try another target")


def _threads(used: int) -> Check:
    quota, granted = cpu_quota(), threads_granted()
    limit = "no CPU quota" if quota is None else f"a CPU quota of {quota:g}"
    told = f"{used} in use; {usable_processors()} processors, {limit}"
    if used > granted:
        advice = f"more threads than can run at once: RELU_LAYERS_NUM_THREADS={granted}, or leave it unset"
        return Check("threads", "warn", told, advice)
    if used < granted:
        return Check("threads", "ok", told, f"up to {granted} could be used (RELU_LAYERS_NUM_THREADS)")
    return Check("threads", "ok", told)


def _print(console: Console, checks: list[Check]) -> None:
    """Print one row per check: verdict, name, finding and advice."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in checks:
        told = Text(check.finding)
        if check.advice:
            told.append(f"\n-> {check.advice}", style="italic")
        table.add_row(Text(check.verdict, style=_STYLES[check.verdict]), check.name, told)
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
