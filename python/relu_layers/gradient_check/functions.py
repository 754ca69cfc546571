"""Gradients of bare functions: ``function(params) -> (loss, grads)``, as one writes them in plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.frozen_loss import OWNER, least_noise
from relu_layers.gradient_check.watching import TURNED, Comparison, UnsteadyError, Watch
from relu_layers.layers import Layer
from relu_layers.model import Sequential

_EPS = float(np.finfo(np.float64).eps)
# As for models: changes of the last digits that are tried, how far rounding may exceed their effect, and by how much
# larger the changes are that measure the noise of gradients.
_TRIALS, _MARGIN, _SCALED = 8, 2.0, 2.0**36


def is_function(model: Any) -> bool:
    """Return whether what is to be checked is a function of parameters, not a model, layer or class."""
    if isinstance(model, (type, Sequential, Layer)) or hasattr(model, "forward"):
        return False
    return callable(model)


class FrozenFunction:
    """A function's loss and gradients at some parameters, as `Probe` asks for them.

    Attributes
    ----------
    params : dict of str to ndarray
        In float64.
    value : float
        The loss.
    gradients : dict of str to ndarray
    noise, gradient_noise : float, dict of str to float
        What rounding may change.
    watched : bool
        Whether the arrays that the function compares with 0 are known, and so its corners.
    held : list of ndarray
        Which entries of every compared array a frozen run takes to lie above 0.
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
        self.params = _converted(params)
        self.held: list[Array] = []
        self.value, self.gradients = self._evaluate(self.params)
        again, _ = self._evaluate(self.params)
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
        self._groups = self._grouped()
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
            value, gradients = self._evaluate(self.params, watch)
        except Exception:
            # It insists on plain arrays: then its corners are found from both sides of each entry.
            return []
        same = all(
            np.array_equal(gradients[name], self.gradients[name], equal_nan=True) for name in gradients
        )
        return watch.comparisons if same and value == self.value else []

    def array(self, name: str) -> Array:
        """Return the array in which a probe may change entries for a moment."""
        return self.params[own_name(name)]

    def value_from(
        self, start: int, *, frozen: bool = False, sides: dict[int, Array] | None = None, arrays: Any = None
    ) -> float:
        """Return the loss at the present parameters; ``frozen`` holds every unit on its side in ``held``."""
        del start, arrays
        if not self.watched:
            return self._evaluate(self.params)[0]
        watch = Watch(held=self.held if frozen else None)
        try:
            value = self._evaluate(self.params, watch)[0]
        except UnsteadyError:
            return math.nan
        if sides is not None:
            steady = len(watch.comparisons) == len(self.inputs)
            sides |= {i: one.array > 0 for i, one in enumerate(watch.comparisons)} if steady else self.above
        return value

    def _measured_noise(self) -> tuple[float, dict[str, float]]:
        rng = np.random.default_rng(0)
        noise, gradient_noise = least_noise(self.value), dict.fromkeys(self.gradients, 0.0)
        for _ in range(_TRIALS):
            signs = {name: rng.choice([-1.0, 1.0], array.shape) for name, array in self.params.items()}
            for size in (_EPS, _EPS * _SCALED):
                shaken = {name: a * (1.0 + size * signs[name]) for name, a in self.params.items()}
                value, gradients = self._evaluate(shaken)
                if size == _EPS:
                    noise = max(noise, _MARGIN * abs(value - self.value))
                    continue
                for name, gradient in gradients.items():
                    change = np.abs(gradient - self.gradients[name])
                    largest = float(change[np.isfinite(change)].max(initial=0.0))
                    gradient_noise[name] = max(gradient_noise[name], _MARGIN * largest / _SCALED)
        return noise, {inner_name(name): value for name, value in gradient_noise.items()}

    def _grouped(self) -> list[list[int]]:
        """Return the comparisons of each array: the same array is compared in the forward and the backward pass."""
        groups: list[list[int]] = []
        for place, one in enumerate(self._comparisons):
            alike = (g for g in groups if np.array_equal(self._comparisons[g[0]].array, one.array))
            group = next(alike, None)
            if group is None:
                groups.append([place])
            else:
                group.append(place)
        return groups

    def _masks(self, group: list[int]) -> list[int]:
        return [place for place in group if self._comparisons[place].written in TURNED]

    def conventions(self) -> Iterator[list[Array]]:
        """Yield on which side entries of exactly 0 may be: as each array's last mask says, all below, all above."""
        above = {"h < 0", "h >= 0"}
        written = []
        for group in self._groups:
            masks = self._masks(group)
            written.append(bool(masks) and self._comparisons[masks[-1]].written in above)
        for sides in dict.fromkeys(
            (tuple(written), (False,) * len(self._groups), (True,) * len(self._groups))
        ):
            found = list(self.above.values())
            for group, upper in zip(self._groups, sides, strict=True):
                for place in group:
                    found[place] = self.inputs[place] >= 0 if upper else self.inputs[place] > 0
            yield found

    def turned_one_by_one(self, held: list[Array]) -> Iterator[list[Array]]:
        """Yield ``held`` with each entry of exactly 0 on its other side."""
        for group in self._groups:
            for place in np.argwhere(self.inputs[group[0]] == 0):
                found = list(held)
                for k in group:
                    found[k] = held[k].copy()
                    found[k][tuple(place)] = ~held[k][tuple(place)]
                yield found

    def gradient_at(self, name: str, index: tuple[int, ...], shift: Mapping[str, Array]) -> float:
        """Return one entry of the gradient at shifted parameters."""
        own = own_name(name)
        return float(self._evaluate({key: a + shift[key] for key, a in self.params.items()})[1][own][index])

    def slope_at(self, name: str, index: tuple[int, ...], shift: Mapping[str, Array], step: float) -> float:
        """Return the difference of the loss there, a step to either side of one entry."""
        own = own_name(name)
        values = []
        for sign in (-1.0, 1.0):
            params = {key: a + shift[key] for key, a in self.params.items()}
            params[own][index] += sign * step
            values.append(self._evaluate(params)[0])
        return (values[1] - values[0]) / (2.0 * step)

    def _at_exactly_zero(self) -> list[str]:
        """Return a note for each array that a mask is made from: where it is 0, and what the other mask changes."""
        notes = []
        for group in self._groups:
            masks = self._masks(group)
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
            gradients = self._evaluate(self.params, Watch(turned=masks))[1]
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


class _Named:
    """A comparison as messages show it."""

    def __init__(self, one: Comparison) -> None:
        self._words = f"{one.written}, h of shape {one.array.shape}"

    def __repr__(self) -> str:
        return self._words


def inner_name(name: str) -> str:
    """Return a parameter's name as `Probe` reads it: behind the layer from which the loss is computed, the first."""
    return f"0.{name}"


def own_name(name: str) -> str:
    """Return the name that the function knows."""
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
