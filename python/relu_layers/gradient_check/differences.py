"""Four-point central differences of one entry, and the verdict on its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.corners import sharpest_bend
from relu_layers.gradient_check.entries import AGREEMENT, Entry, Kink, shown
from relu_layers.gradient_check.frozen_loss import FrozenLoss

# The error of the formula is h**4 / 30 times the fifth derivative, that of rounding noise / h: for numbers
# around 1 the two meet near eps**(1/5) = 2**-10. Halving h twice divides the first by 256.
_LARGEST = 2.0**-10
_SMALLEST = 2.0**-27
_SHRINK = 0.25
_POINTS = (-2.0, -1.0, 1.0, 2.0)
# The formula weighs four values by 1, 8, 8, 1 over 12: at worst their errors add up to 1.5 times one of them.
AMPLIFIED = 1.5


@dataclass
class _Stencil:
    """Losses at -2h, -h, h and 2h, and the corners that lie between."""

    step: float
    slope: float
    floor: float
    crossed: dict[int, Array] = field(default_factory=dict)


class Probe:
    """One entry of one array.

    Parameters
    ----------
    loss : FrozenLoss
    name, index : str, tuple
        Which entry.
    analytic, largest : float
        Its gradient, and the largest finite one of the array.
    """

    def __init__(
        self, loss: FrozenLoss, name: str, index: tuple[int, ...], analytic: float, largest: float
    ) -> None:
        self._loss, self._name, self._index = loss, name, index
        self._analytic, self._tolerance = analytic, AGREEMENT * largest
        self._array = loss.array(name)
        self._start = 0 if name == "x" else int(name.partition(".")[0])
        self._centre = float(self._array[index])
        # A power of two, so that a step is not rounded unless the entry is far larger.
        exponent = math.frexp(self._centre)[1] if math.isfinite(self._centre) else 0
        self._unit = 2.0 ** min(max(exponent, 0), 1000)

    def entry(self) -> Entry:
        """Return the verdict with its numbers."""
        first = self._central(_LARGEST * self._unit)
        if self._agrees(first):
            return self._entry("ok", first)
        stencil = self._shrunk()
        if self._agrees(stencil):
            return self._entry("ok", stencil)
        if stencil.crossed:
            # At a corner the difference is a mixture of both sides. The gradient is that of the side on which
            # the unit is: the one of the net with all units held on their sides.
            verdict = "kink" if self._agrees_frozen() else "wrong"
            return self._entry(verdict, stencil, self._crossing(stencil))
        if self._loss.foreign:
            found = self._foreign_kink()
            if found is not None:
                lower, upper, kink = found
                slack = max(self._tolerance, stencil.floor, 1e-5 * max(abs(lower), abs(upper)))
                inside = lower - slack <= self._analytic <= upper + slack
                return self._entry("kink" if inside else "wrong", stencil, kink)
        return self._entry("wrong", stencil)

    def _entry(self, verdict: str, at: _Stencil, kink: Kink | None = None) -> Entry:
        absolute = abs(self._analytic - at.slope)
        size = max(abs(self._analytic), abs(at.slope))
        relative = 0.0 if absolute == 0.0 else absolute / size if math.isfinite(size) else math.nan
        return Entry(
            self._name,
            self._index,
            self._analytic,
            at.slope,
            absolute,
            relative,
            at.floor,
            at.step,
            verdict,
            kink,
        )

    def _stencil(self, step: float, values: list[float]) -> _Stencil:
        """Return the difference of the values at -2h, -h, h, 2h, and its error through rounding."""
        a, b, c, d = values
        # Where the loss is nearly 0, it is larger at the points around.
        noise = max(self._loss.noise, *(self._loss.least_noise(value) for value in values))
        floor = AMPLIFIED * noise / step + self._loss.gradient_noise[self._name]
        return _Stencil(step, (a - d + 8.0 * (c - b)) / (12.0 * step), floor)

    def _agrees(self, at: _Stencil) -> bool:
        return abs(self._analytic - at.slope) <= max(self._tolerance, at.floor)

    def _value(self, shift: float, *, frozen: bool = False, sides: dict[int, Array] | None = None) -> float:
        self._array[self._index] = self._centre + shift
        try:
            return self._loss.value_from(self._start, frozen=frozen, sides=sides)
        finally:
            self._array[self._index] = self._centre

    def _central(self, step: float, *, frozen: bool = False) -> _Stencil:
        return self._stencil(step, [self._value(k * step, frozen=frozen) for k in _POINTS])

    def _watched(self, step: float) -> _Stencil:
        """Return the difference with the elements of each layer that are not on their side at every point."""
        values, seen = [], []
        for k in _POINTS:
            sides: dict[int, Array] = {}
            values.append(self._value(k * step, sides=sides))
            seen.append(sides)
        stencil = self._stencil(step, values)
        for index in seen[0]:
            base = self._loss.above[index]
            moved = np.logical_or.reduce([sides[index] != base for sides in seen])
            if moved.any():
                stencil.crossed[index] = moved
        return stencil

    def _shrunk(self) -> _Stencil:
        """Shrink the step until no corner lies within it and the difference has settled."""
        last = self._watched(_LARGEST * self._unit)
        while last.step > _SMALLEST * self._unit:
            smaller = self._watched(last.step * _SHRINK)
            settled = not last.crossed and abs(smaller.slope - last.slope) <= max(
                self._tolerance, smaller.floor
            )
            if settled:
                # The larger step has less noise; the smaller one is needed where only the curvature jumps.
                return smaller if self._agrees(smaller) else last
            last = smaller
            if self._agrees(last):
                return last
        return last

    def _agrees_frozen(self) -> bool:
        step = _LARGEST * self._unit
        while step > _SMALLEST * self._unit:
            if self._agrees(self._central(step, frozen=True)):
                return True
            step *= _SHRINK
        return False

    def _crossing(self, stencil: _Stencil) -> Kink:
        """Return the element nearest to its corner among those that crossed it, in the first such layer."""
        layer = min(stencil.crossed)
        inputs, moved = self._loss.inputs[layer], stencil.crossed[layer]
        distance = np.where(moved, np.abs(inputs - self._loss.corners[layer].at), np.inf)
        place = np.unravel_index(int(np.argmin(distance)), distance.shape)
        return self._kink(layer, tuple(int(i) for i in place), float(inputs[place]))

    def _kink(self, layer: int, place: tuple[int, ...], value: float) -> Kink:
        unit = place[-1] if len(place) <= 2 else place[1:]
        return Kink(layer, shown(self._loss.model.layers[layer]), unit, place[0], value)

    def _foreign_kink(self) -> tuple[float, float, Kink] | None:
        """Return the slopes on both sides and the corner of a user's own layer, if it turns one here."""
        step = _SMALLEST**0.75 * self._unit
        runs: list[list[Array]] = []
        values = []
        for k in (-1.0, 0.0, 1.0):
            arrays: list[Array] = []
            self._array[self._index] = self._centre + k * step
            values.append(self._loss.value_from(self._start, arrays=arrays))
            runs.append(arrays)
        self._array[self._index] = self._centre
        before, after = (values[1] - values[0]) / step, (values[2] - values[1]) / step
        for layer in self._loss.foreign:
            if layer < self._start:
                continue
            at = layer - self._start
            place = sharpest_bend([run[at] for run in runs], [run[at + 1] for run in runs], step)
            if place is not None:
                inputs = runs[1][at]
                value = float(inputs[place]) if inputs.shape == runs[1][at + 1].shape else math.nan
                return min(before, after), max(before, after), self._kink(layer, place, value)
        return None
