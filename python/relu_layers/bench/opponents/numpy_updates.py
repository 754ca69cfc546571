"""Optimizer updates in NumPy: over parts of the flat arrays that stay in a cache from one pass to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from relu_layers.bench import cases
from relu_layers.bench.opponents.base import Array, fastest

Update = Callable[[Sequence[Array]], None]
# Elements at once that are tried.
_LENGTHS = (4_096, 16_384, 65_536)


def split(array: Array, length: int) -> list[Array]:
    """Return views of consecutive parts."""
    return [array[start : start + length] for start in range(0, array.size, length)]


def fastest_update(kind: str, state: Sequence[Array], gradient: Array) -> tuple[Update, int]:
    """Return the update of ``state`` with the best length of a part, and that length.

    The update takes the gradient in parts and does not change it.
    """
    size = gradient.size
    lengths = sorted({min(size, length) for length in (*_LENGTHS, size)})

    def trial(length: int) -> Callable[[], None]:
        copies = [array.copy() for array in state]
        update, parts = make_update(kind, copies, length), split(gradient, length)
        return lambda: update(parts)

    trials = [trial(length) for length in lengths]
    best = lengths[trials.index(fastest(trials))] if len(trials) > 1 else lengths[0]
    return make_update(kind, state, best), best


def make_update(kind: str, state: Sequence[Array], length: int) -> Update:
    """Return the update ``sgd``, ``momentum`` or ``adam`` of ``state``: parameters, then the optimizer's arrays."""
    scratch = np.empty(min(length, state[0].size), state[0].dtype)
    parts = [split(array, length) for array in state]
    pieces = [(*views, scratch[: len(views[0])]) for views in zip(*parts, strict=True)]
    rate = cases.LEARNING_RATE

    def sgd(gradient: Sequence[Array]) -> None:
        for g, (p, t) in zip(gradient, pieces, strict=True):
            np.multiply(g, rate, out=t)
            np.subtract(p, t, out=p)

    def momentum(gradient: Sequence[Array]) -> None:
        for g, (p, v, t) in zip(gradient, pieces, strict=True):
            np.multiply(g, rate, out=t)
            np.multiply(v, cases.MOMENTUM, out=v)
            np.add(v, t, out=v)
            np.subtract(p, v, out=p)

    numbers = count(1)

    def adam(gradient: Sequence[Array]) -> None:
        step = next(numbers)
        root = (1 - cases.BETA2**step) ** 0.5
        factor = rate * root / (1 - cases.BETA1**step)
        epsilon = cases.EPSILON * root
        for g, (p, m, v, t) in zip(gradient, pieces, strict=True):
            np.multiply(m, cases.BETA1, out=m)
            np.multiply(g, 1 - cases.BETA1, out=t)
            np.add(m, t, out=m)
            # (1 - beta2) g g from (1 - beta1) g: one pass instead of two with another read of g.
            np.multiply(t, g, out=t)
            np.multiply(t, (1 - cases.BETA2) / (1 - cases.BETA1), out=t)
            np.multiply(v, cases.BETA2, out=v)
            np.add(v, t, out=v)
            np.sqrt(v, out=t)
            np.add(t, epsilon, out=t)
            np.divide(m, t, out=t)
            np.multiply(t, factor, out=t)
            np.subtract(p, t, out=p)

    return {"sgd": sgd, "momentum": momentum, "adam": adam}[kind]
