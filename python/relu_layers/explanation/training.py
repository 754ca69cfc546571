"""A training recorded for the player: loss, decision surface, fold lines and dead units, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.examples import Examples
from relu_layers.explanation.record import Observed
from relu_layers.explanation.trace import Frame, Training
from relu_layers.layers import Dense
from relu_layers.losses import SoftmaxCrossEntropy
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer

# Points of the surface along each side, moments that are kept, rows that are drawn.
GRID, FRAMES, POINTS = 28, 30, 200


def play(model: Sequential, loss: Any, optimizer: Optimizer, given: Examples, steps: int) -> Training:
    """Train a copy for ``steps`` steps on all rows at once and return the moments to show."""
    trainer = Observed(model, loss, optimizer).trainer
    bounds = _bounds(given.x)
    left, right, bottom, top = bounds
    across, up = np.linspace(left, right, GRID), np.linspace(top, bottom, GRID)
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(model.dtype)
    moments = set(np.unique(np.round(np.linspace(0, steps, min(FRAMES, steps + 1)))).astype(int).tolist())
    losses: list[float] = []
    frames: list[Frame] = []
    for step in range(steps + 1):
        now = trainer.evaluate(given.x, given.y, given.sample_weight)["loss"]
        losses.append(float(now))
        if step in moments:
            frames.append(
                Frame(
                    step,
                    float(now),
                    _surface(trainer, grid),
                    _folds(trainer, bounds),
                    _dead(trainer, given.x),
                )
            )
        if step < steps:
            trainer.step(*given)
    rows = np.linspace(0, len(given.x) - 1, min(POINTS, len(given.x))).astype(int)
    return Training(losses, frames, bounds, given.x[rows].astype(np.float64), _classes(given.y[rows]))


def _bounds(x: Array) -> tuple[float, float, float, float]:
    low, high = x.min(axis=0).astype(float), x.max(axis=0).astype(float)
    margin = np.where(high > low, 0.25 * (high - low), 1.0)
    low, high = low - margin, high + margin
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _surface(trainer: Any, grid: Array) -> Array:
    """Return (GRID, GRID) numbers in 0 .. 255: the probability of class 1, or the output cut to 0 .. 1."""
    output = trainer._outputs(grid)
    if isinstance(trainer.loss, SoftmaxCrossEntropy):
        output = trainer.model.ops.softmax_forward(output, -1)[:, 1 if output.shape[1] == 2 else 0]
    cut: Array = np.round(np.clip(np.nan_to_num(output.reshape(len(grid), -1)[:, 0]), 0, 1) * 255)
    return cut.astype(np.uint8)


def _first_dense(trainer: Any) -> Dense | None:
    first = trainer.model.layers[0]
    return first if isinstance(first, Dense) else None


def _folds(trainer: Any, bounds: tuple[float, float, float, float]) -> Array:
    """Return where each unit of the first layer is 0, ``w0 x + w1 y + b = 0``, as end points in ``bounds``."""
    layer = _first_dense(trainer)
    if layer is None:
        return np.empty((0, 4))
    weight = layer.params["weight"].astype(np.float64)
    bias = layer.params["bias"].astype(np.float64) if layer.bias else np.zeros(weight.shape[1])
    return np.array([_line(a, b, c, bounds) for a, b, c in zip(*weight, bias, strict=True)])


def _line(a: float, b: float, c: float, bounds: tuple[float, float, float, float]) -> tuple[float, ...]:
    left, right, bottom, top = bounds
    ends = []
    if b:
        ends += [(x, -(a * x + c) / b) for x in (left, right)]
    if a:
        ends += [(-(b * y + c) / a, y) for y in (bottom, top)]
    inside = [(x, y) for x, y in ends if left <= x <= right and bottom <= y <= top]
    if len(inside) < 2:
        return (np.nan,) * 4
    # The two that are farthest apart: through a corner the same point comes twice.
    first = min(inside)
    return (*first, *max(inside, key=lambda end: (end[0] - first[0]) ** 2 + (end[1] - first[1]) ** 2))


def _dead(trainer: Any, x: Array) -> Array:
    """Return which units of the first layer are above 0 for no row."""
    layer = _first_dense(trainer)
    if layer is None:
        return np.empty(0, dtype=bool)
    above: Array = trainer.model.ops.dense_forward(x, *layer.params.values()) > 0
    dead: Array = ~np.any(above, axis=0)
    return dead


def _classes(y: Array) -> Array:
    first: Array = np.asarray(y).reshape(len(y), -1)[:, 0]
    return np.asarray(first > 0.5, dtype=np.int64)
