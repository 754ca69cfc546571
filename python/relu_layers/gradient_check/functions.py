"""Gradients of bare functions: ``function(params) -> (loss, grads)``, as one writes them in plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.differences import Probe
from relu_layers.gradient_check.entries import Entry
from relu_layers.gradient_check.frozen_loss import LEAST_NOISE, OWNER
from relu_layers.gradient_check.watching import TURNED, Comparison, UnsteadyError, Watch
from relu_layers.layers import Layer
from relu_layers.model import Sequential

_EPS = float(np.finfo(np.float64).eps)
# As for models: changes of the last digits that are tried, how far rounding may exceed their effect, and by how much
# larger the changes are that measure the noise of gradients.
_TRIALS, _MARGIN, _SCALED = 8, 2.0, 2.0**36
# The steps of one-sided differences where no comparison can be watched: a jump stays, curvature shrinks with the step.
_SIDES = (2.0**-16, 2.0**-20)


def is_function(model: Any) -> bool:
    """Return whether what is to be checked is a function of parameters, not a model, layer or class."""
    if isinstance(model, (type, Sequential, Layer)) or hasattr(model, "forward"):
        return False
    return callable(model)


class FrozenFunction:
    """A function's loss and gradients at some parameters, as `Probe` asks for them.

    Attributes
    ----------
    value : float
        The loss.
    gradients : dict of str to ndarray
    noise, gradient_noise : float, dict of str to float
        What rounding may change.
    watched : bool
        Whether the arrays that the function compares with 0 are known, and so its corners.
    notes : list of str
        Where the function's mask and its opposite at exactly 0 differ, and what that changes.
    """

    foreign: tuple[int, ...] = ()

    def __init__(self, function: Callable[[Any], Any], params: Any, *others: Any) -> None:
        if any(other is not None for other in others):
            raise TypeError(
                f"{OWNER}: y, loss and sample_weight belong to models; a function knows its own data"
            )
        self.function, self.loss = function, function
        self._params = _converted(params)
        self.at_zero = False
        self.value, self.gradients = self._evaluate(self._params)
        again, _ = self._evaluate(self._params)
        if again != self.value:
            raise ValueError(
                f"{OWNER}: the function gives {self.value}, then {again}; fix what is random in it"
            )
        self._comparisons = self._watch()
        self.watched = bool(self._comparisons)
        arrays = [one.array for one in self._comparisons]
        self.inputs = arrays
        self.above = {place: array > 0 for place, array in enumerate(arrays)}
        self.corners = {place: SimpleNamespace(at=0.0) for place in self.above}
        self.model = SimpleNamespace(layers=[_Named(one) for one in self._comparisons])
        self.x = arrays[0] if arrays and arrays[0].ndim else np.zeros(1)
        self.noise, self.gradient_noise = self._measured_noise()
        self.notes = self._at_exactly_zero()

    def _evaluate(
        self, params: Mapping[str, Array], watch: Watch | None = None
    ) -> tuple[float, dict[str, Array]]:
        if watch is None:
            result = self.function({name: array.copy() for name, array in params.items()})
        else:
            result = watch.run(self.function, params)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{OWNER}: the function returned {type(result).__name__}, expected (loss, grads)")
        value, grads = result
        if not isinstance(grads, Mapping):
            raise TypeError(
                f"{OWNER}: grads is {type(grads).__name__}, expected a mapping of names to arrays"
            )
        if set(grads) != set(params):
            lacking = sorted(set(params) - set(grads)) or sorted(set(grads) - set(params))
            raise ValueError(
                f"{OWNER}: params and grads do not have the same names: {', '.join(map(str, lacking))}"
            )
        found = {name: np.array(grads[name], dtype=np.float64) for name in params}
        for name, gradient in found.items():
            if gradient.shape != params[name].shape:
                raise ValueError(
                    f"{OWNER}: grads[{name!r}] has shape {gradient.shape}, but params[{name!r}] {params[name].shape}"
                )
        if not math.isfinite(float(value)):
            raise ValueError(f"{OWNER}: the loss is {float(value)}, and its differences say nothing")
        return float(value), found

    def _watch(self) -> list[Comparison]:
        """Return what the function compares with 0; nothing where watching disturbs it."""
        watch = Watch()
        try:
            value, gradients = self._evaluate(self._params, watch)
        except Exception:
            # It insists on plain arrays: then its corners are found from both sides of each entry.
            return []
        same = all(
            np.array_equal(gradients[name], self.gradients[name], equal_nan=True) for name in gradients
        )
        return watch.comparisons if same and value == self.value else []

    def array(self, name: str) -> Array:
        """Return the array in which a probe may change entries for a moment."""
        return self._params[_own(name)]

    def value_from(
        self, start: int, *, frozen: bool = False, sides: dict[int, Array] | None = None, arrays: Any = None
    ) -> float:
        """Return the loss at the present parameters; ``frozen`` holds every unit on its side of 0."""
        del start, arrays
        if not self.watched:
            return self._evaluate(self._params)[0]
        held = None
        if frozen:
            held = [one >= 0 for one in self.inputs] if self.at_zero else list(self.above.values())
        watch = Watch(held=held)
        try:
            value = self._evaluate(self._params, watch)[0]
        except UnsteadyError:
            return math.nan
        if sides is not None:
            steady = len(watch.comparisons) == len(self.inputs)
            sides |= {i: one.array > 0 for i, one in enumerate(watch.comparisons)} if steady else self.above
        return value

    def least_noise(self, loss: float) -> float:
        """Return what a computed loss of this size may be off by at least."""
        return LEAST_NOISE * _EPS * abs(loss)

    def _measured_noise(self) -> tuple[float, dict[str, float]]:
        rng = np.random.default_rng(0)
        noise, gradient_noise = self.least_noise(self.value), dict.fromkeys(self.gradients, 0.0)
        for _ in range(_TRIALS):
            signs = {name: rng.choice([-1.0, 1.0], array.shape) for name, array in self._params.items()}
            for size in (_EPS, _EPS * _SCALED):
                shaken = {name: a * (1.0 + size * signs[name]) for name, a in self._params.items()}
                value, gradients = self._evaluate(shaken)
                if size == _EPS:
                    noise = max(noise, _MARGIN * abs(value - self.value))
                    continue
                for name, gradient in gradients.items():
                    change = np.abs(gradient - self.gradients[name])
                    largest = float(change[np.isfinite(change)].max(initial=0.0))
                    gradient_noise[name] = max(gradient_noise[name], _MARGIN * largest / _SCALED)
        return noise, {_inner(name): value for name, value in gradient_noise.items()}

    def _at_exactly_zero(self) -> list[str]:
        """Return a note for each array that a mask is made from: where it is 0, and what the other mask changes."""
        groups: list[list[int]] = []
        for place, one in enumerate(self._comparisons):
            alike = (g for g in groups if np.array_equal(self._comparisons[g[0]].array, one.array))
            group = next(alike, None)
            if group is None:
                groups.append([place])
            else:
                group.append(place)
        notes = []
        for group in groups:
            masks = [place for place in group if self._comparisons[place].written in TURNED]
            if masks:
                # The last one is the backward pass's.
                notes.append(self._note(self._comparisons[masks[-1]], masks))
        return notes

    def _note(self, one: Comparison, masks: list[int]) -> str:
        mask, other = one.written, TURNED[one.written]
        what = f"`{mask}` on an array of shape {one.array.shape}"
        zeros = one.array == 0
        count = int(zeros.sum())
        if not count:
            return f"{what}: no entry is exactly 0, so `{other}` gives the same"
        rows = np.unique(np.nonzero(zeros)[0]) if zeros.ndim > 1 else np.array([], int)
        where = f", all in row {rows[0]}" if len(rows) == 1 and len(one.array) > 1 else ""
        words = f"{what}: {count:,} of {zeros.size:,} entries are exactly 0{where}; there `{other}` differs"
        try:
            gradients = self._evaluate(self._params, Watch(turned=masks))[1]
        except Exception:
            return words
        changes = {name: np.abs(gradients[name] - self.gradients[name]) for name in gradients}
        moved = {name: change for name, change in changes.items() if change.any()}
        if not moved:
            return f"{words}, but it changes no gradient here: both programs train alike"
        parts = [
            f"{name} in {int(np.count_nonzero(change))} of {change.size} entries, by up to {change.max():.3g}"
            for name, change in moved.items()
        ]
        return f"{words} and changes the gradient of {'; of '.join(parts)}"


class FunctionProbe(Probe):
    """One entry of one parameter of a function; the arguments are those of `Probe`."""

    def __init__(self, held: Any, name: str, index: tuple[int, ...], analytic: float, largest: float) -> None:
        self._function = held
        super().__init__(held, _inner(name), index, analytic, largest)

    def entry(self) -> Entry:
        """Return the verdict with its numbers."""
        found = super().entry()
        if found.verdict == "wrong" and not self._function.watched and self._between_sides():
            found = replace(found, verdict="kink")
        return replace(found, name=_own(found.name))

    def _agrees_frozen(self) -> bool:
        # At exactly 0 a function may take either side, as long as it takes the same one everywhere.
        for side in (False, True):
            self._function.at_zero = side
            if super()._agrees_frozen():
                return True
        return False

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


class _Named:
    """A comparison as messages show it."""

    def __init__(self, one: Comparison) -> None:
        self._words = f"{one.written}, h of shape {one.array.shape}"

    def __repr__(self) -> str:
        return self._words


def _inner(name: str) -> str:
    """Return a parameter's name as `Probe` reads it: behind the layer from which the loss is computed, the first."""
    return f"0.{name}"


def _own(name: str) -> str:
    return name.partition(".")[2]


def _converted(params: Any) -> dict[str, Array]:
    if not isinstance(params, Mapping) or not params:
        came = "empty" if isinstance(params, Mapping) else type(params).__name__
        raise TypeError(
            f"{OWNER}: params is {came}, expected a mapping of names to arrays, as the function takes"
        )
    found: dict[str, Array] = {}
    for name, value in params.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{OWNER}: params[{name!r}] has dtype {array.dtype}, expected numbers")
        found[str(name)] = array.astype(np.float64)
    return found
