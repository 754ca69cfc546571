"""The verdict on one entry of a function's gradient: its corners are the arrays that it compares with 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.differences import Probe
from relu_layers.gradient_check.entries import Entry
from relu_layers.gradient_check.functions import inner_name, own_name
from relu_layers.gradient_check.held import HeldOutputs

# The steps of one-sided differences where no comparison can be watched: a jump stays, curvature shrinks with the step.
_SIDES = (2.0**-16, 2.0**-20)
# Where several corners meet: how far the points around lie, the step of a difference there, how many points, the part
# of them at which the gradient must be right (a corner may lie within one step), and the agreement asked for.
_AWAY, _STEP, _AROUND, _SOUND, _AGREES = 2.0**-13, 2.0**-23, 32, 0.75, 1e-4
# Sides are turned one by one only among this many units at 0.
_MOST_TURNED = 500


class FunctionProbe(Probe):
    """One entry of one parameter of a function; the arguments are those of `Probe`."""

    def __init__(self, held: Any, name: str, index: tuple[int, ...], analytic: float, largest: float) -> None:
        self._function = held
        super().__init__(held, inner_name(name), index, analytic, largest)

    def entry(self) -> Entry:
        """Return the verdict with its numbers."""
        found = super().entry()
        if found.verdict == "wrong" and not self._function.watched:
            around = self._gradients_around()
            if around and (self._between_sides() or self._among(around)):
                found = replace(found, verdict="kink")
        return replace(found, name=own_name(found.name))

    def _agrees_frozen(self, held: dict[int, HeldOutputs]) -> bool:
        # At exactly 0 a function may take either side, or a slope between both.
        for sides in self._function.conventions():
            self._function.held = sides
            if super()._agrees_frozen(held):
                return True
        # What is wrong at points near by, where no unit is at 0, is no matter of sides.
        right_around = bool(self._gradients_around())
        return right_around and any(map(self._between_turned, self._function.conventions()))

    def _frozen_slope(self, sides: list[Array]) -> float:
        self._function.held = sides
        return self._central(_SIDES[0] * self._unit, frozen=True).slope

    def _between_turned(self, sides: list[Array]) -> bool:
        """Return whether the gradient is one of units at 0 that each take a slope between those of both sides."""
        if sum(np.count_nonzero(one == 0) for one in self._function.inputs) > _MOST_TURNED:
            return False
        start = self._frozen_slope(sides)
        turned = self._function.turned_one_by_one(sides)
        parts = np.array([self._frozen_slope(one) - start for one in turned])
        slack = max(self._tolerance, 1e-6 * float(np.abs(parts).sum()))
        lower, upper = start + parts[parts < 0].sum(), start + parts[parts > 0].sum()
        return bool(lower - slack <= self._analytic <= upper + slack)

    def _between_sides(self) -> bool:
        """Return whether the loss has a corner here, with the gradient between the slopes of its sides."""
        jumps = []
        for size in _SIDES:
            step = size * self._unit
            below, here, above = (self._value(k * step) for k in (-1.0, 0.0, 1.0))
            before, after = (here - below) / step, (above - here) / step
            jumps.append(after - before)
        slack = 1e-5 * max(abs(before), abs(after))
        stays = abs(jumps[1]) > max(0.5 * abs(jumps[0]), 1e-4 * max(abs(before), abs(after)))
        return stays and min(before, after) - slack <= self._analytic <= max(before, after) + slack

    def _gradients_around(self) -> list[float]:
        """Return the function's gradients at points around where they are right; none if they are wrong at many."""
        rng = np.random.default_rng(0)
        sizes = {name: np.maximum(np.abs(a), 1.0) for name, a in self._function.params.items()}
        around = []
        for _ in range(_AROUND):
            shift = {name: _AWAY * size * rng.uniform(-1.0, 1.0, size.shape) for name, size in sizes.items()}
            given = self._function.gradient_at(self._name, self._index, shift)
            measured = self._function.slope_at(self._name, self._index, shift, _STEP * self._unit)
            if abs(given - measured) <= max(_AGREES * max(abs(given), abs(measured)), self._tolerance):
                around.append(given)
        return around if len(around) >= _SOUND * _AROUND else []

    def _among(self, around: list[float]) -> bool:
        """Return whether several corners meet here, with the gradient among those at points around.

        It may lie as far beyond them as they differ: each of them has some of the units above 0, whereas here all,
        or none, may count as above.
        """
        lowest, highest = min(around), max(around)
        # Of one corner, or of several that turn together, both slopes are seen.
        between = [one for one in around if min(one - lowest, highest - one) > 1e-2 * (highest - lowest)]
        jumps = highest - lowest > 1e-2 * max(abs(lowest), abs(highest))
        return bool(between) and jumps and 2.0 * lowest - highest <= self._analytic <= 2.0 * highest - lowest
