"""Fresh random data of a case: the same arrays in every process that is given the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from typing import Any

import numpy as np

from relu_layers.bench.cases import Case

Array = np.ndarray[Any, np.dtype[Any]]

# Calls whose results are compared before anything is timed.
CHECKED_CALLS = 3
_WEIGHTS, _INPUTS, _TARGETS, _STATE = range(4)


@dataclass
class Data:
    """Arrays of one case.

    Attributes
    ----------
    rotation : list of tuple of ndarray
        Arguments of one call each, taken in turn; for a fit all rows in one entry.
    weights : list of (weight, bias)
        Of a network, or the one layer of a product: weight (in_features, out_features), bias (out_features,).
    state : tuple of ndarray
        What an update changes: parameters first, then the optimizer's arrays.
    """

    rotation: list[tuple[Array, ...]]
    weights: list[tuple[Array, Array]] = field(default_factory=list)
    state: tuple[Array, ...] = ()


def make(case: Case, seed: int, count: int | None = None) -> Data:
    """Return the arrays of a case; with ``count`` at most that many calls (or minibatches of a fit)."""
    if case.section == "fit":
        rows = case.rows if count is None else min(case.rows, count * case.batch)
        return Data([_examples(case, seed, 0, rows)], _layers(case, seed, case.shape))
    entry = {"gemm": _product, "training": _step, "inference": _step}.get(case.family, _plain)
    length = case.rotation if count is None else min(case.rotation, count)
    rotation = [entry(case, seed, index) for index in range(length)]
    weights: list[tuple[Array, Array]] = []
    if case.family == "gemm":
        weights = _layers(case, seed, case.shape[1:])
    elif case.section != "ops":
        weights = _layers(case, seed, case.shape)
    return Data(rotation, weights, _state(case, seed))


def checked(rotation: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the arguments of the calls that are checked."""
    return list(islice(cycle(rotation), CHECKED_CALLS))


def _generator(seed: int, stream: int, index: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, stream, index])


def _normal(case: Case, seed: int, stream: int, index: int, *shape: int) -> Array:
    values: Array = _generator(seed, stream, index).standard_normal(shape, dtype=np.dtype(case.dtype))
    return values


def _layers(case: Case, seed: int, sizes: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Return He-normal weights and small biases."""
    layers = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = _normal(case, seed, _WEIGHTS, 2 * index, inputs, outputs)
        weight *= weight.dtype.type(np.sqrt(2.0 / inputs))
        bias = _normal(case, seed, _WEIGHTS, 2 * index + 1, outputs)
        bias *= bias.dtype.type(0.1)
        layers.append((weight, bias))
    return layers


def _product(case: Case, seed: int, index: int) -> tuple[Array, ...]:
    batch, inputs, outputs = case.shape
    x = _normal(case, seed, _INPUTS, index, batch, inputs) if case.op != "dx" else None
    dy = _normal(case, seed, _TARGETS, index, batch, outputs) if case.op != "forward" else None
    return tuple(array for array in (x, dy) if array is not None)


def _plain(case: Case, seed: int, index: int) -> tuple[Array, ...]:
    """Return the arguments of an elementwise op, softmax, a loss, or the gradient of an update."""
    x = _normal(case, seed, _INPUTS, index, *case.shape)
    if case.op == "relu-backward":
        return x, _normal(case, seed, _TARGETS, index, *case.shape)
    if case.op == "cross-entropy":
        rows, classes = case.shape
        return x, _generator(seed, _TARGETS, index).integers(0, classes, rows)
    return (x,)


def _step(case: Case, seed: int, index: int) -> tuple[Array, ...]:
    x, y = _examples(case, seed, index, case.batch)
    return (x, y) if case.section == "training" else (x,)


def _examples(case: Case, seed: int, index: int, rows: int) -> tuple[Array, Array]:
    """Return inputs and labels (or targets of a regression); fewer rows are the first of more rows."""
    x = _normal(case, seed, _INPUTS, index, rows, case.shape[0])
    if case.regression:
        return x, _normal(case, seed, _TARGETS, index, rows, 1)
    return x, _generator(seed, _TARGETS, index).integers(0, case.shape[-1], rows)


def _state(case: Case, seed: int) -> tuple[Array, ...]:
    if case.op == "sgd-update":
        return tuple(_normal(case, seed, _STATE, index, *case.shape) for index in range(2))
    if case.op == "adam-update":
        param = _normal(case, seed, _STATE, 0, *case.shape)
        return param, np.zeros_like(param), np.zeros_like(param)
    return ()
