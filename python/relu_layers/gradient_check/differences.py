"""Four-point central differences of one entry, and the verdict on its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.corners import bend, turning
from relu_layers.gradient_check.entries import AGREEMENT, Entry, Kink, shown
from relu_layers.gradient_check.frozen_loss import FrozenLoss, least_noise
from relu_layers.gradient_check.held import HeldOutputs

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


@dataclass
class _Turned:
    """Corners of users' layers at an entry, and the slopes that their backward passes take there.

    ``sound`` is whether each slope lies between those of both sides; ``kink`` is the sharpest corner.
    """

    outputs: dict[int, HeldOutputs] = field(default_factory=dict)
    sound: bool = True
    kink: Kink | None = None


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
        turned = self._turned()
        if stencil.crossed or turned.kink is not None:
            # At a corner the difference is a mixture of both sides. The gradient is that of the side on which
            # the unit is: the one of the net with all units held on their sides, and several units at their
            # corners may each add a part. A user's unit exactly at its corner is on the side that its
            # backward pass says.
            right = turned.sound and self._agrees_frozen(turned.outputs)
            kink = self._crossing(stencil) if stencil.crossed else turned.kink
            return self._entry("kink" if right else "wrong", stencil, kink)
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
        noise = max(self._loss.noise, *(least_noise(value) for value in values))
        floor = AMPLIFIED * noise / step + self._loss.gradient_noise[self._name]
        return _Stencil(step, (a - d + 8.0 * (c - b)) / (12.0 * step), floor)

    def _agrees(self, at: _Stencil) -> bool:
        return abs(self._analytic - at.slope) <= max(self._tolerance, at.floor)

    def _value(self, shift: float, **options: Any) -> float:
        self._array[self._index] = self._centre + shift
        try:
            return self._loss.value_from(self._start, **options)
        finally:
            self._array[self._index] = self._centre

    def _central(self, step: float, **options: Any) -> _Stencil:
        return self._stencil(step, [self._value(k * step, **options) for k in _POINTS])

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

    def _agrees_frozen(self, held: dict[int, HeldOutputs]) -> bool:
        options: dict[str, Any] = {"held": held} if held else {}
        step = _LARGEST * self._unit
        while step > _SMALLEST * self._unit:
            if self._agrees(self._central(step, frozen=True, **options)):
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

    def _turned(self) -> _Turned:
        """Return the corners that users' layers turn here, in the order of the layers."""
        found = _Turned()
        step = _SMALLEST**0.75 * self._unit
        for layer in self._loss.foreign:
            if layer < self._start:
                continue
            at = layer - self._start
            runs = self._runs(step, found.outputs)
            inputs, outputs = ([run[k] for run in runs] for k in (at, at + 1))
            corners = turning(inputs, outputs, step)
            if not corners.any():
                continue
            places = [tuple(int(i) for i in place) for place in np.argwhere(corners)]
            slopes = {place: self._loss.output_slope(layer, place) for place in places}
            found.outputs[layer] = HeldOutputs(self._loss.model.layers[layer], slopes)
            taken = (self._runs(step, found.outputs)[2][at + 1] - outputs[1])[corners] / step
            before, after = ((one - two)[corners] / step for one, two in pairwise(reversed(outputs)))
            slack = 1e-5 * np.maximum(np.abs(before), np.abs(after))
            lower, upper = np.minimum(before, after) - slack, np.maximum(before, after) + slack
            found.sound &= bool(np.all((lower <= taken) & (taken <= upper)))
            if found.kink is None:
                sharpest = np.where(corners, bend(outputs[0], outputs[1], outputs[2], step), 0.0)
                place = tuple(int(i) for i in np.unravel_index(int(np.argmax(sharpest)), corners.shape))
                value = float(inputs[1][place]) if inputs[1].shape == corners.shape else math.nan
                found.kink = self._kink(layer, place, value)
        return found

    def _runs(self, step: float, held: dict[int, HeldOutputs]) -> list[list[Array]]:
        """Return every layer's input and the last output at -step, 0 and +step, corners before held."""
        runs = []
        for k in (-1.0, 0.0, 1.0):
            arrays: list[Array] = []
            self._value(k * step, frozen=True, held=held, arrays=arrays)
            runs.append(arrays)
        return runs
