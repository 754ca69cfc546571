"""`relu-layers explain`: backpropagation step by step, of a model file or of a small network made for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import numpy as np
from rich.console import Console

from relu_layers.cli.errors import Problem, readable, refuse_overwriting
from relu_layers.cli.labelled_data import load_labelled_data
from relu_layers.cli.reading import reading_options
from relu_layers.data import two_moons, xor
from relu_layers.explanation import Explanation
from relu_layers.explanation import explain as explained
from relu_layers.layers import Dense, ReLU
from relu_layers.losses import SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential, mlp
from relu_layers.optimizers import SGD
from relu_layers.trainer import Trainer

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_WIDEST = 100


@dataclass
class TrainingSetup:
    """A model with rows, and the settings of its training."""

    model: Sequential
    x: Array
    y: Array
    loss: Any
    rate: float
    rows: int
    seed: int | None = None
    steps: int = 0


def _tour(seed: int, hidden: int | None, slope: float) -> TrainingSetup:
    """The pencil-and-paper network of docs/backprop.md: one unit above 0, one below, one exactly at 0."""
    del seed
    if hidden is not None:
        raise Problem("--hidden: the tour's network has three hidden units, as on paper")
    model = Sequential(Dense(2, 3), ReLU(slope), Dense(3, 2), dtype=np.float64)
    model.load_params(
        {
            "0.weight": np.array([[0.5, 1.0, 1.0], [1.0, -1.0, -0.5]]),
            "0.bias": np.array([-0.5, 0.0, 0.0]),
            "2.weight": np.array([[0.5, -0.5], [-1.0, 1.0], [2.0, -2.0]]),
            "2.bias": np.array([0.0, 2.0]),
        }
    )
    return TrainingSetup(model, np.array([[1.0, 2.0]]), np.array([1]), SoftmaxCrossEntropy(), 0.1, 1)


def _xor(seed: int, hidden: int | None, slope: float) -> TrainingSetup:
    """The classic program: 2-30-1 without biases, squared errors summed."""
    rng, width = np.random.default_rng(seed), hidden or 30
    layers = Dense(2, width, bias=False), ReLU(slope), Dense(width, 1, bias=False)
    model = Sequential(*layers, dtype=np.float64)
    weights = rng.standard_normal((2, width)), rng.standard_normal((width, 1))
    model.load_params(dict(zip(model.params, weights, strict=True)))
    x, y = xor()
    return TrainingSetup(model, x, y, SquaredError(normalization="none"), 0.002, 4, steps=200)


def _two_moons(seed: int, hidden: int | None, slope: float) -> TrainingSetup:
    x, y = two_moons(100, 0.15, np.random.default_rng(seed))
    model = mlp([2, hidden or 8, 2], negative_slope=slope, dtype=np.float64, rng=seed)
    return TrainingSetup(model, x, y, SoftmaxCrossEntropy(), 0.5, 100, steps=300)


def _digits(seed: int, hidden: int | None, slope: float) -> TrainingSetup:
    from relu_layers.sklearn import load_digits

    x, y = load_digits()
    model = mlp([64, hidden or 32, 10], negative_slope=slope, dtype=np.float64, rng=seed)
    return TrainingSetup(model, x / 16.0, y, SoftmaxCrossEntropy(), 0.1, 32)


_MAKERS: dict[str, Callable[[int, int | None, float], TrainingSetup]] = {
    "tour": _tour,
    "xor": _xor,
    "two-moons": _two_moons,
    "digits": _digits,
}


@click.command(short_help="Explain a training step: forward, loss, backward, update, in numbers.")
@click.argument("model", metavar="tour|xor|two-moons|digits|MODEL")
@click.argument("data", required=False)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    help="Row that is followed, from 0. Default: the first in which ReLU stops some units and not all.",
)
@click.option(
    "--unit",
    type=click.IntRange(min=0),
    help="Hidden unit that is followed, from 0. Default: where most of the gradient goes.",
)
@click.option("--rows", type=click.IntRange(min=1), help="Rows of the batch: the first of DATA.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Train for this many steps first.")
@click.option("--rate", type=float, help="Learning rate of the step (SGD).")
@click.option("--hidden", type=click.IntRange(min=1), help="Hidden units of a built-in network.")
@click.option("--slope", type=float, default=0.0, show_default=True, help="Negative slope of its ReLU.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of its weights.")
@click.option(
    "--target", metavar="COLUMN", help="True values, where the model file does not name the column."
)
@click.option("--all", "everything", is_flag=True, help="Show all rows and paths, not just one.")
@click.option("--check/--no-check", default=True, show_default=True, help="Compare with finite differences.")
@click.option(
    "--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write a page to click through."
)
@click.option(
    "--markdown", type=click.Path(dir_okay=False), metavar="FILE", help="Write Markdown with LaTeX."
)
@click.option("--json", type=click.Path(dir_okay=False), metavar="FILE", help="Write every recorded number.")
@click.option("--lang", type=click.Choice(["en", "ja"]), help="Default: by LC_ALL, LC_MESSAGES, LANG.")
@reading_options
def explain(
    model: str,
    data: str | None,
    sample: int | None,
    unit: int | None,
    rows: int | None,
    after: int,
    rate: float | None,
    hidden: int | None,
    slope: float,
    seed: int,
    target: str | None,
    everything: bool,
    check: bool,
    html: str | None,
    markdown: str | None,
    json: str | None,
    lang: str | None,
    form: CsvForm,
) -> None:
    """Explain one training step with all its numbers: backpropagation, and the effect of ReLU on it.

    Of the tour, a network for pencil and paper that ends in softmax; of a small network on xor (squared errors),
    two-moons or digits; or of the model file MODEL on rows of DATA, a file as `relu-layers train` takes, or one
    of the last three names. The names of its columns and classes are kept.
    """
    with readable():
        for output in (html, markdown, json):
            refuse_overwriting(output, model, *([] if data is None else [data]))
        setup = _setup(model, data, target, seed, hidden, slope, form)
        count = min(rows or setup.rows, len(setup.x))
        x, y = setup.x[:count], setup.y[:count]
        if sample is not None and sample >= count:
            raise Problem(
                f"--sample {sample}: the batch has rows 0 to {count - 1}; --rows {sample + 1} would have it"
            )
        optimizer = SGD(setup.rate if rate is None else rate)
        trainer = Trainer(setup.model, setup.loss, optimizer)
        if after:
            # An epoch of one batch in order is one step.
            trainer.fit(x, y, epochs=after, batch_size=count, shuffle=False)
        plays = html is not None and data is None
        found = explained(
            setup.model,
            x,
            y,
            setup.loss,
            optimizer,
            sample=sample,
            unit=unit,
            gradcheck=check,
            train=setup.steps if plays else 0,
            seed=setup.seed,
            title=_title(model, data, setup.model, after),
            lang=lang,
        )
        wrote = False
        for path, write in (
            (html, found.save_html),
            (markdown, found.save_markdown),
            (json, found.save_json),
        ):
            if path is not None:
                write(path)
                click.echo(f"wrote {path} ({Path(path).stat().st_size:,} bytes)")
                wrote = True
        if not wrote:
            _print(found, everything)


def _setup(
    model: str,
    data: str | None,
    target: str | None,
    seed: int,
    hidden: int | None,
    slope: float,
    form: CsvForm,
) -> TrainingSetup:
    """Return the built-in network of that name, or the model file with its rows."""
    if data is None:
        make = _MAKERS.get(model)
        if make is None:
            raise Problem(
                f"{model}: a model file needs DATA to be explained on; without it: {', '.join(_MAKERS)}"
            )
        setup = make(seed, hidden, slope)
        setup.seed = None if model == "tour" else seed
        return setup
    given = load_labelled_data(Path(model), data, target, form)
    return TrainingSetup(given.model, given.x, given.y, given.loss, 0.1, 32)


def _title(name: str, data: str | None, model: Sequential, after: int) -> str:
    """Return the title in a line, such as ``xor, 2-30-1``."""
    dense = [layer for layer in model.layers if isinstance(layer, Dense)]
    sizes = (
        "-".join(str(n) for n in [dense[0].in_features, *(one.out_features for one in dense)])
        if dense
        else ""
    )
    parts = [Path(name).name, data or "", sizes, f"after {after} steps" if after else ""]
    return ", ".join(filter(None, parts))


def _print(found: Explanation, everything: bool) -> None:
    """Print for a terminal: with styles where there is one, never wider than reads well."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    width = min(console.width, _WIDEST) if sys.stdout.isatty() else 80
    console.print(found.to_text(everything=everything, width=width, markup=True))
