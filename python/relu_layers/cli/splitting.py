"""Rows for training, validation and test, every class in the same proportion in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts; validation and test may be empty."""

    train: Array
    validation: Array
    test: Array


def split_rows(
    rows: int, labels: Array | None, validation: float, test: float, rng: np.random.Generator
) -> Split:
    """Return a random split of the rows.

    ``validation`` and ``test`` are fractions of all rows; ``labels`` (classification) spreads each class
    evenly over the parts, and a class that would be missing from training keeps one row there.

    Raises ValueError where training, or a part that was asked for, would have no row.
    """
    order = rng.permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    rest, held_test = _spread(order, test, rng)
    share = validation / (1.0 - test) if test < 1.0 else 0.0
    train, held_validation = _spread(rest, share, rng)
    if labels is not None:
        train, held_validation = _with_every_class(train, held_validation, labels)
        train, held_test = _with_every_class(train, held_test, labels)
    asked = {"training": (train, 1.0), "validation": (held_validation, validation), "test": (held_test, test)}
    for name, (part, fraction) in asked.items():
        if fraction > 0 and not len(part):
            raise ValueError(
                f"{rows} rows are too few to give {name} one: "
                "change --validation and --test (0 leaves a part out)"
            )
    return Split(np.sort(train), np.sort(held_validation), np.sort(held_test))


def _spread(order: Array, fraction: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Split ``order`` so that the second part has ``fraction`` of every stretch of it, within one row."""
    place = np.arange(len(order) + 1) * fraction + rng.random()
    held = np.floor(place[1:]) > np.floor(place[:-1])
    return order[~held], order[held]


def _with_every_class(train: Array, held: Array, labels: Array) -> tuple[Array, Array]:
    """Move one row of each class that only ``held`` has to ``train``."""
    classes, first = np.unique(labels[held], return_index=True)
    move = first[~np.isin(classes, labels[train])]
    return np.concatenate([train, held[move]]), np.delete(held, move)
