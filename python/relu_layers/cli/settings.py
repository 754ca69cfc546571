"""The options of `relu-layers train`, the defaults that depend on the data, and the objects they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from relu_layers import optimizers, schedules
from relu_layers._support.arguments import nearest

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

OPTIMIZERS: dict[str, tuple[Callable[..., Any], float]] = {
    "adam": (optimizers.Adam, 3e-3),
    "adamw": (optimizers.AdamW, 3e-3),
    "sgd": (optimizers.SGD, 0.05),
    "rmsprop": (optimizers.RMSProp, 1e-3),
    "adagrad": (optimizers.AdaGrad, 0.05),
    "adadelta": (optimizers.AdaDelta, 1.0),
}

# Schedule arguments where the user gives none, from the number of updates of the whole run.
SCHEDULES: dict[str, tuple[Callable[..., Any], Callable[[int], dict[str, Any]]]] = {
    "constant": (schedules.Constant, lambda total: {}),
    "cosine": (schedules.Cosine, lambda total: {"total": total, "final": 0.0}),
    "step": (schedules.Step, lambda total: {"gamma": 0.1, "every": max(total // 3, 1)}),
    "exponential": (schedules.Exponential, lambda total: {"gamma": 0.01 ** (1.0 / total)}),
    "inverse": (schedules.Inverse, lambda total: {"gamma": 10.0 / total, "power": 1.0}),
    "multistep": (
        schedules.MultiStep,
        lambda total: {"gamma": 0.1, "milestones": [max(total // 2, 1), max(total * 3 // 4, 2)]},
    ),
    "polynomial": (schedules.Polynomial, lambda total: {"power": 1.0, "total": total}),
    "sigmoid": (schedules.Sigmoid, lambda total: {"gamma": -10.0 / total, "midpoint": max(total // 2, 1)}),
}

HIDDEN = (64, 32)
# Tried on ten seeds each. On the digits one scale for all pixels is worth 0.6 points of test accuracy against
# a scale per pixel, label smoothing a further 0.8. XOR has four rows, so nothing can be held out.
DEFAULTS: dict[str, dict[str, Any]] = {
    "": {
        "standardize": "column",
        "test": 0.2,
        "batch_size": 32,
        "label_smoothing": 0.0,
    },
    "digits": {
        "hidden": (128, 64),
        "standardize": "table",
        "epochs": 40,
        "patience": 15,
        "label_smoothing": 0.1,
    },
    "two-moons": {"hidden": HIDDEN},
    "xor": {
        "hidden": (30,),
        "validation": 0.0,
        "test": 0.0,
        "epochs": 200,
        "batch_size": 4,
        "patience": 0,
        "learning_rate": 0.02,
        "weight_decay": 0.0,
    },
}

_FEWEST_ROWS, _VALIDATION = 80, 0.1
_EPOCHS, _PATIENCE, _STEPS = 60, 15, 3000


@dataclass(frozen=True)
class Settings:
    """Every option of `relu-layers train`, defaults filled in."""

    data: str
    target: str | None
    task: str | None
    ignore: tuple[str, ...]
    category: tuple[str, ...]
    missing: str
    standardize: str
    validation: float | None
    test: float
    hidden: tuple[int, ...] | None
    negative_slope: float
    dropout: float
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float | None
    schedule: str
    warmup: float
    label_smoothing: float
    clip_norm: float | None
    epochs: int | None
    batch_size: int
    accumulate: int
    checkpoint: str | None
    resume: str | None
    patience: int | None
    seed: int
    threads: int | None
    dtype: str
    output: str | None
    class_weight: str | None = None
    quiet: bool = False
    as_json: bool = False
    form: CsvForm | None = None


def settings_from(options: dict[str, Any]) -> Settings:
    """Return the options with defaults instead of None; contradictions are a usage error."""
    if options["validation"] == 0.0 and options["patience"]:
        raise click.BadOptionUsage("patience", "--patience needs validation rows, but --validation is 0")
    usual_rate = {"learning_rate": OPTIMIZERS[options["optimizer"]][1]}
    defaults = usual_rate | DEFAULTS[""] | DEFAULTS.get(options["data"], {})
    if options["optimizer"] != "adam":
        defaults |= usual_rate
    filled: dict[str, Any] = {
        name: defaults.get(name) if value is None else value for name, value in options.items()
    }
    if filled["validation"] == 0.0:
        filled["patience"] = 0
    if (filled["validation"] or 0.0) + filled["test"] >= 1.0:
        raise click.UsageError(
            "--validation and --test together must leave some rows for training (sum below 1)"
        )
    return Settings(**filled)


def fitted_to(
    settings: Settings, rows: int, hidden: tuple[int, ...] = HIDDEN, penalty: float = 1.0
) -> Settings:
    """Return the settings with what depends on the number of rows, where the user gave none of it.

    ``hidden`` are the hidden layers unless the user gave some, ``penalty`` multiplies the weight decay. Few rows get
    more epochs, for a network needs some thousand steps however few rows there are, and more weight decay: with Adam
    as much as the penalty of Ridge(alpha=penalty). The fewest, and a linear model, keep no rows to choose an epoch by.
    """
    open_to_choice = settings.hidden is None and settings.patience is None
    validation = settings.validation
    if validation is None:
        none = open_to_choice and (rows < _FEWEST_ROWS or not hidden)
        validation = 0.0 if none else min(_VALIDATION, (1.0 - settings.test) / 2.0)
    training = max(round(rows * (1.0 - settings.test - validation)), 1)
    epochs = settings.epochs or max(_EPOCHS, -(-_STEPS // -(-training // settings.batch_size)))
    patience = max(_PATIENCE, epochs // 5) if settings.patience is None else settings.patience
    decay = settings.weight_decay
    if decay is None and settings.optimizer == "adam":
        decay = 2.0 * penalty / training
    return replace(
        settings,
        hidden=hidden if settings.hidden is None else settings.hidden,
        validation=validation,
        epochs=epochs,
        patience=patience,
        weight_decay=decay,
    )


def optimizer_from(settings: Settings, updates: int) -> Any:
    """Return the optimizer with its schedule; ``updates`` is their number in the whole run."""
    build = OPTIMIZERS[settings.optimizer][0]
    extra = {"momentum": settings.momentum} if settings.optimizer == "sgd" else {}
    rate = schedule_from(settings.schedule, settings.learning_rate, updates)
    if settings.warmup:
        rate = schedules.Warmup(rate, max(round(settings.warmup * updates / (settings.epochs or 1)), 1))
    if settings.weight_decay is not None:
        extra["weight_decay"] = settings.weight_decay
    return build(rate, **extra)


def schedule_from(text: str, base: float, updates: int) -> Any:
    """Return the schedule that ``name`` or ``name:key=value,key=value`` describes."""
    name, _, given = text.partition(":")
    if name not in SCHEDULES:
        known = ", ".join(SCHEDULES) + nearest(name, SCHEDULES)
        raise ValueError(f"--schedule: {name!r} is unknown, expected one of {known}")
    build, defaults = SCHEDULES[name]
    arguments = defaults(max(updates, 1))
    for part in filter(None, given.split(",")):
        key, _, value = part.partition("=")
        if key not in arguments:
            keys = ", ".join(arguments) or "none"
            raise ValueError(f"--schedule {name} has no setting {key!r}, expected some of: {keys}")
        try:
            arguments[key] = _number(value, arguments[key])
        except ValueError:
            raise ValueError(f"--schedule {name}: {key} is {value!r}, expected a number") from None
    return build(base, **arguments)


def _number(value: str, like: Any) -> Any:
    """Return a number, or for a list numbers separated by ``/``, of the kind of the default ``like``."""
    if isinstance(like, list):
        return [int(part) for part in value.split("/")]
    return int(value) if isinstance(like, int) else float(value)
