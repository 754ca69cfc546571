"""Learning-rate schedules: callables from the number of updates done so far to the rate of the next one.

The first seven are Caffe's ``lr_policy`` values ``fixed, step, exp, inv, multistep, poly, sigmoid``, with
the formulas of its ``SGDSolver::GetLearningRate``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from relu_layers._support.arguments import integer, real
from relu_layers._support.configured import Configured

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "Inverse",
    "MultiStep",
    "Polynomial",
    "Schedule",
    "Sigmoid",
    "Step",
    "Warmup",
]


# The largest power of two that a float holds.
_LARGEST = 2**1023


class Schedule(Configured):
    """Base of the schedules: ``schedule(updates) -> rate``."""

    def __call__(self, updates: int) -> float:
        """Return the rate of the update that follows ``updates`` earlier ones.

        For any number of them: a rate that no float holds is infinite, as in floating-point arithmetic, never an
        OverflowError.
        """
        raise NotImplementedError


class _Scaled(Schedule):
    """A base rate times a factor that depends on the number of updates."""

    def __init__(self, base: float) -> None:
        self.base = _rate(type(self).__name__, "base", base)

    def __call__(self, updates: int) -> float:
        return self.base * self._factor(updates) if self.base else 0.0

    def _factor(self, updates: int) -> float:
        raise NotImplementedError


class Constant(_Scaled):
    """``base``: Caffe's ``fixed``."""

    def __init__(self, base: float) -> None:
        super().__init__(base)

    def _factor(self, updates: int) -> float:
        return 1.0


class Step(_Scaled):
    """``base * gamma ** (updates // every)``: Caffe's ``step``."""

    def __init__(self, base: float, gamma: float, every: int) -> None:
        super().__init__(base)
        self.gamma = _rate("Step", "gamma", gamma)
        self.every = integer("Step", "every", every, minimum=1)

    def _factor(self, updates: int) -> float:
        return _power(self.gamma, updates // self.every)


class Exponential(_Scaled):
    """``base * gamma ** updates``: Caffe's ``exp``."""

    def __init__(self, base: float, gamma: float) -> None:
        super().__init__(base)
        self.gamma = _rate("Exponential", "gamma", gamma)

    def _factor(self, updates: int) -> float:
        return _power(self.gamma, updates)


class Inverse(_Scaled):
    """``base * (1 + gamma * updates) ** -power``: Caffe's ``inv``."""

    def __init__(self, base: float, gamma: float, power: float) -> None:
        super().__init__(base)
        self.gamma = _rate("Inverse", "gamma", gamma)
        self.power = real("Inverse", "power", power)

    def _factor(self, updates: int) -> float:
        return _power(1.0 + self.gamma * _as_float(updates), -self.power)


class MultiStep(_Scaled):
    """``base * gamma ** (milestones reached)``: Caffe's ``multistep``. Milestones count updates and rise."""

    def __init__(self, base: float, gamma: float, milestones: Sequence[int]) -> None:
        super().__init__(base)
        self.gamma = _rate("MultiStep", "gamma", gamma)
        self.milestones = [
            integer("MultiStep", f"milestones[{i}]", value, minimum=0) for i, value in enumerate(milestones)
        ]
        if self.milestones != sorted(self.milestones):
            raise ValueError(f"MultiStep: milestones is {self.milestones}, expected numbers that do not fall")

    def _factor(self, updates: int) -> float:
        return _power(self.gamma, bisect_right(self.milestones, updates))


class Polynomial(_Scaled):
    """``base * (1 - updates / total) ** power``, and 0 after ``total`` updates: Caffe's ``poly``."""

    def __init__(self, base: float, power: float, total: int) -> None:
        super().__init__(base)
        self.power = _rate("Polynomial", "power", power)
        self.total = integer("Polynomial", "total", total, minimum=1)

    def _factor(self, updates: int) -> float:
        return _power(1.0 - min(updates, self.total) / self.total, self.power)


class Sigmoid(_Scaled):
    """``base / (1 + exp(-gamma * (updates - midpoint)))``: Caffe's ``sigmoid``."""

    def __init__(self, base: float, gamma: float, midpoint: int) -> None:
        super().__init__(base)
        self.gamma = real("Sigmoid", "gamma", gamma)
        self.midpoint = integer("Sigmoid", "midpoint", midpoint)

    def _factor(self, updates: int) -> float:
        exponent = -self.gamma * _as_float(updates - self.midpoint)
        return 1.0 / (1.0 + math.exp(exponent)) if exponent < 700.0 else 0.0


class Cosine(_Scaled):
    """Half a cosine from ``base`` to ``final`` over ``total`` updates (Loshchilov & Hutter 2017)."""

    def __init__(self, base: float, total: int, final: float = 0.0) -> None:
        super().__init__(base)
        self.total = integer("Cosine", "total", total, minimum=1)
        self.final = _rate("Cosine", "final", final)

    def __call__(self, updates: int) -> float:
        done = min(updates, self.total) / self.total
        return self.final + (self.base - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


class Warmup(Schedule):
    """``schedule``, times ``(done + 1) / updates`` during the first ``updates`` updates."""

    def __init__(self, schedule: Any, updates: int) -> None:
        self.schedule = as_schedule("Warmup", "schedule", schedule)
        self.updates = integer("Warmup", "updates", updates, minimum=1)

    def __call__(self, updates: int) -> float:
        share = min(updates + 1, self.updates) / self.updates
        return float(self.schedule(updates)) * share if share else 0.0

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments; the inner schedule as ``{"name": ..., "config": ...}``."""
        return {"schedule": describe(self.schedule), "updates": self.updates}

    def __repr__(self) -> str:
        return f"Warmup({self.schedule!r}, {self.updates!r})"


BUILT_IN: dict[str, type[Schedule]] = {
    schedule.__name__: schedule
    for schedule in (Constant, Step, Exponential, Inverse, MultiStep, Polynomial, Sigmoid, Cosine, Warmup)
}


def _as_float(count: int) -> float:
    """Return a count as a float, one that is too large as a very large one."""
    return float(max(min(count, _LARGEST), -_LARGEST))


def _power(base: float, exponent: float) -> float:
    """Return ``base ** exponent``; what is too large for a float is infinite."""
    power = _as_float(exponent) if isinstance(exponent, int) else exponent
    try:
        return float(base**power)
    except OverflowError:
        return -math.inf if base < 0.0 and power % 2.0 == 1.0 else math.inf


def as_schedule(owner: str, name: str, value: Any) -> Any:
    """Return ``value`` as a schedule: a number becomes `Constant`, a callable stays what it is."""
    if callable(value):
        return value
    if isinstance(value, dict):
        return rebuild(value)
    return Constant(_rate(owner, name, value))


def describe(schedule: Any) -> dict[str, Any]:
    """Return ``{"name": ..., "config": ...}`` for a schedule of this module; others have no config."""
    name = type(schedule).__name__
    if BUILT_IN.get(name) is type(schedule):
        return {"name": name, "config": schedule.config()}
    return {"name": getattr(schedule, "__qualname__", name)}


def rebuild(description: dict[str, Any]) -> Schedule:
    """Return the schedule that `describe` described; a ValueError names one that is not of this package."""
    name, config = description.get("name"), description.get("config")
    if not isinstance(name, str) or name not in BUILT_IN or not isinstance(config, dict):
        raise ValueError(f"schedule {name!r} is not one of this package: pass the optimizer that uses it")
    try:
        return BUILT_IN[name](**config)
    except TypeError as error:
        raise ValueError(f"schedule {name}: {error}") from None


def _rate(owner: str, name: str, value: Any) -> float:
    """Return a finite number that is at least 0."""
    number = real(owner, name, value)
    if number < 0.0:
        raise ValueError(f"{owner}: {name} is {number}, expected at least 0")
    return number
