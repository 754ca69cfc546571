"""Linear model or network, and how much weight decay: cross-validated within the training rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from relu_layers.cli.network import trainer_for
from relu_layers.cli.settings import HIDDEN, Settings, fitted_to
from relu_layers.trainer import DivergenceError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Of that many folds all are held out in turn where the rows are few, else the first.
_FOLDS, _FEW_ROWS = 5, 1000
# Fewer rows say nothing; of more, a network with early stopping is hardly worse than the best.
_FEWEST_ROWS, _MOST_ROWS = 10, 10_000


class Candidate(NamedTuple):
    """What may be trained: hidden layers, and the weight decay in units of the default."""

    hidden: tuple[int, ...]
    penalty: float = 1.0

    def __str__(self) -> str:
        """Return it in words."""
        what = f"a network {','.join(map(str, self.hidden))}" if self.hidden else "a linear model"
        return what if self.penalty == 1.0 else f"{what} with {self.penalty:g} times the weight decay"

    @property
    def short(self) -> str:
        """The same for a list."""
        return "network" if self.hidden else "linear" if self.penalty == 1.0 else f"{self.penalty:g} x decay"


# On 70 tables of up to 1,200 rows, none of them in benchmarks/tables.py, the choice among these has a mean score of
# 0.60, the network alone 0.58, the linear model 0.57; on 9 of up to 3,000 rows 0.57, the network 0.54. The most decay
# takes the place of the mean, which few noisy rows call for.
LINEAR = Candidate(())
NETWORK = Candidate(HIDDEN)
_CANDIDATES = (LINEAR, Candidate((), 10.0), Candidate((), 100.0), NETWORK)


def is_open(settings: Settings, rows: int) -> bool:
    """Return whether that many training rows, with these settings, are to choose."""
    return settings.hidden is None and _FEWEST_ROWS <= rows < _MOST_ROWS


def usual(settings: Settings, rows: int) -> Candidate:
    """Return what is trained where nothing is chosen."""
    return LINEAR if settings.hidden is None and rows < _FEWEST_ROWS else NETWORK


def chosen(settings: Settings, train: tuple[Array, Array], classes: int) -> tuple[Candidate, str]:
    """Return the candidate with the lowest loss in cross-validation of the training rows, and a note that says so.

    Parameters
    ----------
    settings : Settings
        As they were given; what depends on the number of rows is filled in.
    train : tuple of ndarray
        Rows and targets.
    classes : int
        0 for a regression.
    """
    x, y = train
    given = settings.weight_decay is not None or settings.optimizer != "adam"
    candidates = [one for one in _CANDIDATES if one.penalty == 1.0 or not given]
    folds = _folds(y, classes, np.random.default_rng(settings.seed))
    held = range(_FOLDS if len(x) < _FEW_ROWS else 1)
    losses = {one: float(np.mean([_loss(settings, one, train, folds == k, classes) for k in held]))
              for one in candidates}  # fmt: skip
    best = min(candidates, key=losses.__getitem__)
    found = ", ".join(f"{one.short} {losses[one]:.4g}" for one in candidates)
    return best, (
        f"note: {_words(len(held))} of the {len(x):,} training rows chose {best} (loss: {found}); "
        f"--hidden none or {','.join(map(str, HIDDEN))} decides that"
    )


def _words(held: int) -> str:
    return f"{held} folds" if held > 1 else f"one of {_FOLDS} folds"


def _folds(y: Array, classes: int, rng: np.random.Generator) -> Array:
    """Return the fold of each row, the rows of a class evenly over all."""
    order = rng.permutation(len(y))
    if classes:
        order = order[np.argsort(y[order], kind="stable")]
    folds: Array = np.empty(len(y), dtype=np.intp)
    folds[order] = np.arange(len(y)) % _FOLDS
    return folds


def _loss(settings: Settings, one: Candidate, train: tuple[Array, Array], held: Array, classes: int) -> float:
    """Return the mean loss of the rows that are held out from training a candidate."""
    x, y = train
    fitted = fitted_to(replace(settings, validation=0.0, test=0.0, patience=0), int(np.sum(~held)), *one)
    rest = x[~held], y[~held]
    trainer = trainer_for(
        fitted, rest, classes, model_rng=np.random.default_rng(0), rng=np.random.default_rng(0)
    )
    assert fitted.epochs is not None
    try:
        trainer.fit(*rest, epochs=fitted.epochs, batch_size=fitted.batch_size, progress=False)
    except DivergenceError:
        return np.inf
    return float(trainer.evaluate(x[held], y[held])["loss"])
