"""What the optimizers share: flat state, multipliers, decay, schedules; the rules are in `optimizers`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby
from typing import Any, ClassVar

import numpy as np

from relu_layers import schedules
from relu_layers._checks import choice, nearest, real
from relu_layers._configured import Array, Configured

REGULARIZATIONS = ("l2", "l1")


class _Segment:
    """Parameters that lie side by side and share their multipliers: views into every flat array."""

    def __init__(
        self, param: Array, slots: tuple[Array, ...], where: slice, rate: float, decay: float
    ) -> None:
        self.param, self.slots, self.where, self.rate, self.decay = param, slots, where, rate, decay
        # The gradient array changes only when a trainer starts to accumulate, so its view is kept.
        self._grad: Array | None = None
        self._whole: Array | None = None

    def grad(self, whole: Array) -> Array:
        if whole is not self._whole or self._grad is None:
            self._whole, self._grad = whole, whole[self.where]
        return self._grad


class Optimizer(Configured):
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float or schedule
        A schedule is called with the number of updates done so far.
    weight_decay : float
        Coupled decay, added to the gradient of every parameter, biases included, as in Caffe.
    regularization : {"l2", "l1"}
        Whether the decay is ``weight_decay * w`` or ``weight_decay * sign(w)``.
    multipliers : mapping of str to (float, float)
        ``{"0.bias": (rate, decay)}`` scales the learning rate and the decay of a parameter; a rate of 0
        freezes it, and its gradient then does not count in the clip norm.

    Attributes
    ----------
    updates : int
        Updates done so far.
    """

    slot_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float,
        regularization: str,
        multipliers: Mapping[str, tuple[float, float]] | None,
    ) -> None:
        owner = type(self).__name__
        self.learning_rate = schedules.as_schedule(owner, "learning_rate", learning_rate)
        self.weight_decay = at_least_zero(owner, "weight_decay", weight_decay)
        self.regularization = choice(owner, "regularization", regularization, REGULARIZATIONS)
        self.multipliers = _checked_multipliers(owner, multipliers)
        self.updates = 0
        self.slots: dict[str, Array] = {}
        self._model: Any = None
        self._segments: list[_Segment] = []

    def bind(self, model: Any) -> None:
        """Allocate the state for ``model``, zeros; a ValueError names a multiplier that fits no parameter.

        An optimizer that is bound already keeps its state if ``model`` is the same, and refuses another.
        """
        if self._model is model:
            return
        if self._model is not None:
            raise ValueError(
                f"{type(self).__name__}: this optimizer belongs to another model, make a new one"
            )
        for key in self.multipliers:
            if key not in model.params:
                hint = nearest(key, model.params)
                raise ValueError(f"{type(self).__name__}: multipliers names {key!r}, not a parameter{hint}")
        self.slots = {name: np.zeros_like(model.flat_params) for name in self.slot_names}
        self._model = model
        self._segments = self._split(model)

    def _split(self, model: Any) -> list[_Segment]:
        """Return the stretches of equal multipliers, in the order of the flat arrays."""
        sizes = [(key, array.size) for key, array in model.params.items()]
        segments: list[_Segment] = []
        start = 0
        for factors, group in groupby(sizes, key=lambda item: self.multipliers.get(item[0], (1.0, 1.0))):
            stop = start + sum(size for _, size in group)
            where = slice(start, stop)
            slots = tuple(self.slots[name][where] for name in self.slot_names)
            segments.append(_Segment(model.flat_params[where], slots, where, *factors))
            start = stop
        return segments

    @property
    def learning_rate_now(self) -> float:
        """The learning rate of the next update."""
        return float(self.learning_rate(self.updates))

    def gradient_norm(self, grad: Array) -> float:
        """Return the Euclidean norm of a flat gradient, frozen parameters left out."""
        ops = self._model.ops
        return math.sqrt(
            sum(ops.sum_of_squares(segment.grad(grad)) for segment in self._segments if segment.rate != 0.0)
        )

    def update(self, grad: Array, grad_scale: float = 1.0) -> None:
        """Update the parameters from ``grad * grad_scale``; the flat gradient is only read."""
        rate = self.learning_rate_now
        for segment in self._segments:
            if segment.param.size:
                self._apply(
                    segment.param,
                    segment.grad(grad),
                    segment.slots,
                    learning_rate=rate * segment.rate,
                    weight_decay=self.weight_decay * segment.decay,
                    grad_scale=grad_scale,
                )
        self.updates += 1

    def _apply(self, param: Array, grad: Array, slots: tuple[Array, ...], **common: float) -> None:
        """Call this optimizer's op on one stretch."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, JSON-able; the schedule as `schedules.describe` gives it."""
        config = super().config()
        config["learning_rate"] = schedules.describe(self.learning_rate)
        config["multipliers"] = {key: list(pair) for key, pair in self.multipliers.items()}
        return config

    def __repr__(self) -> str:
        rate = self.learning_rate
        shown = rate.base if type(rate) is schedules.Constant else rate
        rest = {name: getattr(self, name) for name in super().config() if name != "learning_rate"}
        parts = ", ".join(f"{name}={value!r}" for name, value in rest.items() if value not in (None, {}))
        return f"{type(self).__name__}({shown!r}, {parts})"


def at_least_zero(owner: str, name: str, value: Any) -> float:
    number = real(owner, name, value)
    if number < 0.0:
        raise ValueError(f"{owner}: {name} is {number}, expected at least 0")
    return number


def fraction(owner: str, name: str, value: Any) -> float:
    number = real(owner, name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{owner}: {name} is {number}, expected at least 0 and below 1")
    return number


def _checked_multipliers(owner: str, value: Any) -> dict[str, tuple[float, float]]:
    """Return ``{key: (rate, decay)}`` with numbers that are at least 0."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{owner}: multipliers is {value!r}, expected a mapping such as {{'0.bias': (2.0, 0.0)}}"
        )
    checked = {}
    for key, pair in value.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{owner}: multipliers[{key!r}] is {pair!r}, expected a pair (rate, decay)")
        rate, decay = (at_least_zero(owner, f"multipliers[{key!r}]", number) for number in pair)
        checked[key] = (rate, decay)
    return checked
