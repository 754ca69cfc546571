"""The network that settings describe, with its loss, optimizer and trainer."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from relu_layers.cli.settings import Settings, optimizer_from
from relu_layers.layers import Dense, Dropout, ReLU
from relu_layers.losses import Loss, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.trainer import Trainer

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def trainer_for(
    settings: Settings,
    train: tuple[Array, Array],
    classes: int,
    *,
    model_rng: np.random.Generator,
    rng: np.random.Generator,
    communicator: Any = None,
) -> Trainer:
    """Return a trainer, before its first step, for rows and targets; ``classes`` is 0 for a regression."""
    x, y = train
    assert settings.epochs is not None
    model = _network(settings, x.shape[1], classes or 1, model_rng)
    group = settings.accumulate * (1 if communicator is None else communicator.size)
    minibatches = -(-len(x) // settings.batch_size)
    return Trainer(
        model,
        _loss(settings, y, classes),
        optimizer_from(settings, settings.epochs * -(-minibatches // group)),
        clip_norm=settings.clip_norm,
        accumulate=settings.accumulate,
        rng=rng,
        communicator=communicator,
    )


def _network(settings: Settings, width: int, outputs: int, rng: np.random.Generator) -> Sequential:
    layers: list[Any] = []
    for size in settings.hidden or ():
        layers += [Dense(width, size), ReLU(settings.negative_slope)]
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
        width = size
    layers.append(Dense(width, outputs))
    return Sequential(*layers, dtype=np.dtype(settings.dtype), rng=rng)


def _loss(settings: Settings, y: Array, classes: int) -> Loss:
    """Return the loss that fits the target."""
    if classes:
        weights = None
        if settings.class_weight == "balanced":
            counts = np.bincount(y, minlength=classes)
            weights = (counts.sum() / (classes * np.maximum(counts, 1))).tolist()
        return SoftmaxCrossEntropy(label_smoothing=settings.label_smoothing, class_weight=weights)
    if settings.class_weight is not None:
        raise ValueError("--class-weight is for classes, but the target is a number")
    return SquaredError()
