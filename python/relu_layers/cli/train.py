"""`relu-layers train`: from a data file to a model file, with the curve of the loss on the way."""

from __future__ import annotations

import math
from typing import Any

import click
from rich.console import Console

from relu_layers.cli.errors import readable
from relu_layers.cli.reading import reading_options
from relu_layers.cli.settings import OPTIMIZERS, settings_from
from relu_layers.cli.training import run


def hidden_sizes(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Return sizes of hidden layers given as ``64,32``; ``none`` is a linear model."""
    if value is None or value == "none":
        return None if value is None else ()
    try:
        sizes = tuple(int(part) for part in value.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise click.BadParameter(f"{value!r} is no list of sizes like 64,32 (or none)", context, parameter)
    return sizes


def _finite(number: Any, kind: click.types.FloatParamType, param: Any, ctx: click.Context | None) -> float:
    """Return the number; NaN and infinity are refused."""
    if not math.isfinite(number):
        kind.fail(f"{str(number)!r} is not a finite number", param, ctx)
    return float(number)


class Real(click.types.FloatParamType):
    """A finite float."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        return _finite(super().convert(value, param, ctx), self, param, ctx)


class RealRange(click.FloatRange):
    """A finite float in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        return _finite(super().convert(value, param, ctx), self, param, ctx)


_Positive = RealRange(min=0.0, min_open=True)
_NotNegative = RealRange(min=0.0)
_Fraction = RealRange(min=0.0, max=1.0, max_open=True)


@click.command(short_help="Train a network on DATA and write model, history and loss curve.")
@click.argument("data")
@click.option("--target", metavar="COLUMN", help="Column to predict.")
@click.option(
    "--task", type=click.Choice(["classification", "regression"]), help="Default: found from the target."
)
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Leave a column out (repeatable).")
@click.option(
    "--category", multiple=True, metavar="COLUMN", help="Numbers in this column are names (repeatable)."
)
@click.option(
    "--missing",
    type=click.Choice(["error", "mean", "drop"]),
    default="error",
    show_default=True,
    help="Missing values: refuse, fill with mean or most frequent, or leave their rows out.",
)
@click.option(
    "--standardize",
    type=click.Choice(["column", "table", "none"]),
    help="One scale per column or for all (pixels). Default: column.",
)
@click.option(
    "--validation",
    type=_Fraction,
    help="Part of the rows that chooses the best epoch. Default: 0.1; 0 below 80 rows or for a chosen linear model.",
)
@click.option("--test", type=_Fraction, help="Part of the rows kept for the final score. Default: 0.2.")
@click.option(
    "--hidden",
    callback=hidden_sizes,
    metavar="SIZES",
    help="Sizes of the hidden layers, or none. Default: 64,32 or none, by cross-validation below 10,000 rows.",
)
@click.option(
    "--negative-slope", type=Real(), default=0.0, show_default=True, help="Slope of the ReLU below 0."
)
@click.option(
    "--dropout", type=_Fraction, default=0.0, show_default=True, help="Rate after each hidden layer."
)
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adam", show_default=True)
@click.option("--learning-rate", type=_Positive, help="Default: fits the optimizer (adam 0.003, sgd 0.05).")
@click.option("--momentum", type=_Fraction, default=0.9, show_default=True, help="Of sgd.")
@click.option(
    "--weight-decay",
    type=_NotNegative,
    help="Default: 2 / rows for adam (for a linear model also 10 or 100 times that), 0.01 for adamw.",
)
@click.option(
    "--schedule",
    default="cosine",
    show_default=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="constant, cosine, step, exponential, inverse, multistep, polynomial or sigmoid.",
)
@click.option("--warmup", type=_NotNegative, default=0.0, show_default=True, help="In epochs.")
@click.option(
    "--label-smoothing", type=_Fraction, help="Share of a label spread over all classes. Default: 0."
)
@click.option(
    "--class-weight", type=click.Choice(["balanced"]), help="Give every class the same weight in the loss."
)
@click.option("--clip-norm", type=_Positive, help="Largest norm of the gradient.")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: 60, or 3,000 steps of few rows.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Default: 32.")
@click.option(
    "--accumulate",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Minibatches of an update; under mpiexec of each process.",
)
@click.option(
    "--checkpoint", type=click.Path(dir_okay=False), metavar="FILE", help="Written after every epoch (.npz)."
)
@click.option(
    "--resume",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Go on from a checkpoint; where it is the file of --checkpoint it may be missing.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    help="Epochs without a lower validation loss before stopping; 0: never. The best are kept. Default: 15 or more.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of split and weights."
)
@click.option("--threads", type=click.IntRange(min=1), help="Default: the cores this program may use.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Default: a new folder named after DATA.",
)
@click.option("--quiet", is_flag=True, help="Print the score and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON and nothing else.")
@reading_options
def train(**options: Any) -> None:
    """Train a network on DATA and write model.npz, history.csv and loss.png.

    DATA is digits, two-moons or xor, a file with column names (CSV, TSV, both also as .gz, Parquet, Arrow, NPZ,
    HDF5), or - for CSV from the standard input; --target says which column to predict. What keeps a file from being
    used is reported at once, with the command that goes on. digits and xor bring their own defaults.

    Started by mpiexec or srun, its processes train together, with the results of one process whose --accumulate is
    as many times larger.
    """
    with readable():
        run(settings_from(options), Console(highlight=False))
