"""The protocol of an opponent: it takes a case with its data and returns functions that check and time it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter_ns
from typing import Any, Protocol

import numpy as np

from relu_layers.bench.cases import Case
from relu_layers.bench.data import Data

Array = np.ndarray[Any, np.dtype[Any]]


# Trials of each candidate, and nanoseconds for it, in a choice between several ways to write the same.
_MOST_TRIALS = 15
_CHOICE = 20_000_000


class UnsupportedError(Exception):
    """This opponent has no equivalent of a case; the message gives the reason."""


@dataclass
class Runner:
    """A prepared case.

    Attributes
    ----------
    outcome : callable
        Runs the checked calls from the initial state and returns their results in the order of `truth.expected`. Called
        once, before any block.
    block : callable
        Runs a number of units and returns the nanoseconds they took, everything finished.
    calls : int
        What one unit of a block stands for: 1 call, or the steps of an epoch.
    """

    outcome: Callable[[], list[Array]]
    block: Callable[[int], int]
    calls: int = 1


class Opponent(Protocol):
    """One library under one number of threads."""

    def versions(self) -> dict[str, str]:
        """Return names and versions of the libraries, and their settings of threads."""

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return the case made ready, everything allocated and compiled that can be."""


def blocks(
    call: Callable[..., Any],
    rotation: Sequence[tuple[Any, ...]],
    finish: Callable[[Any], Any] | None = None,
) -> Callable[[int], int]:
    """Return a block that calls with the arguments in turn; ``finish`` waits for the last result in time."""
    arguments = cycle(rotation)

    def block(count: int) -> int:
        result = None
        start = perf_counter_ns()
        for each in islice(arguments, count):
            result = call(*each)
        if finish is not None:
            finish(result)
        return perf_counter_ns() - start

    return block


def timed(run: Callable[[int], Any]) -> Callable[[int], int]:
    """Return a block for a function that repeats itself: ``run(count)``."""

    def block(count: int) -> int:
        start = perf_counter_ns()
        run(count)
        return perf_counter_ns() - start

    return block


def as_numpy(*values: Any) -> list[Array]:
    """Return copies, so that timed calls do not write into them."""
    return [np.array(value) for value in values]


def fastest(candidates: Sequence[Callable[..., Any]], *arguments: Any) -> Callable[..., Any]:
    """Return the candidate with the shortest run on these arguments: the same result by other means."""
    best = [float("inf")] * len(candidates)
    deadline = perf_counter_ns() + _CHOICE * len(candidates)
    # At least two runs each: the first pays for pages and caches.
    for turn in range(_MOST_TRIALS):
        for index, candidate in enumerate(candidates):
            start = perf_counter_ns()
            candidate(*arguments)
            best[index] = min(best[index], perf_counter_ns() - start)
        if turn and perf_counter_ns() > deadline:
            break
    return candidates[best.index(min(best))]
