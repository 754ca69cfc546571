"""The loss as a function of parameters and inputs: a float64 copy of a model, everything random held still."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from relu_layers._support.arguments import converted_array
from relu_layers._support.configured import Array
from relu_layers._training.examples import examples
from relu_layers.gradient_check.copies import copied_model, restore, saved
from relu_layers.gradient_check.corners import corner_of
from relu_layers.gradient_check.held import HeldOutputs, OutputSlope
from relu_layers.layers import Layer
from relu_layers.losses import FunctionLoss, Loss, as_loss, default_loss, training_depth

OWNER = "gradcheck"
_EPS = float(np.finfo(np.float64).eps)
_SMALLEST = math.ulp(0.0)
# The least rounding error of a computed loss, in units of eps * |loss|, or of the smallest number there is.
_LEAST_NOISE = 4.0
# Changes of the last digits that are tried, and the factor by which rounding may exceed the largest effect.
_TRIALS, _MARGIN = 8, 2.0
# By how much larger changes are that measure the noise of gradients. A jump at a corner, divided by this, is far
# below the required agreement; and the changes, about 1e-5, are still small.
_SCALED = 2.0**36


def least_noise(loss: float) -> float:
    """Return the least rounding error of a computed loss of this size."""
    return _LEAST_NOISE * max(_EPS * abs(loss), _SMALLEST)


class FrozenLoss:
    """The loss as a function of every parameter and input, without anything random.

    Attributes
    ----------
    model : Sequential, float64
    x, y, sample_weight : ndarray
    loss : loss or callable
    depth : int
        Layers that count: those before the loss.
    value : float
        The loss.
    gradients : dict of str to ndarray
        From backward: parameters by their keys, and ``"x"``.
    noise : float
        The error of the computed loss through rounding.
    gradient_noise : dict of str to float
        The same for the gradients of each array.
    """

    def __init__(self, model: Any, x: Any, y: Any, loss: Any, sample_weight: Any) -> None:
        if loss is not None and (isinstance(loss, type) or not callable(loss)):
            raise TypeError(f"{OWNER}: loss is {loss!r}, expected an object such as SoftmaxCrossEntropy()")
        if y is None and loss is not None:
            raise TypeError(f"{OWNER}: y is None, but {loss!r} needs a target")
        self.model = copied_model(OWNER, model, np.float64)
        self._states = [(layer, saved(layer)) for layer in self.model.layers]
        self._generators = [
            (generator, copy.deepcopy(generator.bit_generator.state))
            for layer in self.model.layers
            if not isinstance(layer, Layer)
            for generator in getattr(layer, "__dict__", {}).values()
            if isinstance(generator, np.random.Generator)
        ]
        if loss is None:
            loss = default_loss(self.model, y)
        self.loss: Any = copy.deepcopy(loss) if isinstance(loss, Loss) else loss
        self._computed_loss = as_loss(self.loss, self.model.ops)
        if y is None:
            y = np.random.default_rng(0).standard_normal(self._output_shape(x))
        given = examples(OWNER, x, y, sample_weight, dtype=self.model.dtype, loss=self.loss)
        self.x, self.y, self.sample_weight = np.array(given.x, order="C"), given.y, given.sample_weight
        self.depth = training_depth(self.model.layers, self.loss)
        self.corners = {
            index: corner
            for index, layer in enumerate(self.model.layers[: self.depth])
            if (corner := corner_of(layer)) is not None
        }
        self.foreign = [i for i, layer in enumerate(self.model.layers[: self.depth]) if _is_foreign(layer)]
        self.value, self.gradients = self._backpropagate()
        self.inputs: list[Array] = []
        self.above: dict[int, Array] = {}
        self._record()
        self.noise, self.gradient_noise = self._loss_noise(), self._gradient_noise()
        self.notes: list[str] = []
        self._slopes: dict[tuple[int, tuple[int, ...]], OutputSlope] = {}

    def _output_shape(self, x: Any) -> tuple[int, ...]:
        """Return the shape of the outputs for x."""
        given = converted_array(OWNER, "x", x, np.dtype(np.float64))
        self._rewind()
        with self._float64_named():
            output: Array = self.model._passes.forward(np.array(given, order="C"), len(self.model.layers))
        return tuple(output.shape)

    def _rewind(self) -> None:
        """Let the next pass draw the same random numbers as the first."""
        for layer, state in self._states:
            restore(layer, state)
        for generator, state in self._generators:
            generator.bit_generator.state = copy.deepcopy(state)

    @contextmanager
    def _float64_named(self) -> Iterator[None]:
        """Name the dtype in a TypeError of a model with a user's layer."""
        try:
            yield
        except TypeError as error:
            if any(map(_is_foreign, self.model.layers)):
                raise TypeError(f"{error}; {OWNER} computes in float64: keep the dtype of x") from error
            raise

    def _loss_and_dy(
        self, output: Array, target: Array, *, sample_weight: Array | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient, checked."""
        given, dy = self._computed_loss(output, target, sample_weight=sample_weight)
        value = float(given)
        if not math.isfinite(value):
            raise ValueError(
                f"{OWNER}: the loss is {value}, which has no differences to compare with; "
                "relu_layers.sanity_check finds where that begins"
            )
        if not isinstance(dy, np.ndarray) or dy.shape != output.shape or dy.dtype != output.dtype:
            came = f"{dy.dtype} of shape {dy.shape}" if isinstance(dy, np.ndarray) else type(dy).__name__
            raise ValueError(
                f"{OWNER}: {self.loss!r} returned as gradient {came}, expected float64 of {output.shape}"
            )
        return value, dy

    def _backpropagate(self) -> tuple[float, dict[str, Array]]:
        """Return the loss and all gradients, computed exactly as in training."""
        self._rewind()
        with self._float64_named():
            value, _, dx = self.model._passes.loss_and_gradients(
                FunctionLoss(self._loss_and_dy),
                self.x.copy(),
                self.y,
                self.sample_weight,
                depth=self.depth,
                need_dx=True,
            )
        own = {f"{i}.{name}" for i in range(self.depth) for name in self.model.layers[i].params}
        gradients = {key: grad.copy() for key, grad in self.model.grads.items() if key in own}
        return value, gradients | {"x": np.array(dx)}

    def array(self, name: str) -> Array:
        """Return the array that ``name`` stands for, in which the check may change entries for a moment."""
        return self.x if name == "x" else self.model.params[name]

    def _record(self) -> None:
        """Keep every layer's input and side of its corner; refuse layers that cannot be held still."""
        outputs = []
        for _ in range(2):
            arrays: list[Array] = []
            self.value_from(0, arrays=arrays)
            outputs.append(arrays)
        for index, (first, second) in enumerate(zip(*outputs, strict=True)):
            if not np.array_equal(first, second, equal_nan=True):
                raise ValueError(
                    f"{OWNER}: layer {index - 1}, {self.model.layers[index - 1]!r}, gives another result for the "
                    "same input; let it keep an np.random.Generator as attribute, or give it state_dict() "
                    "and load_state_dict(), so that its mask can be held still"
                )
        self.inputs = outputs[0]
        self.above = {i: corner.above(self.inputs[i]) for i, corner in self.corners.items()}

    def value_from(
        self,
        start: int,
        *,
        frozen: bool = False,
        sides: dict[int, Array] | None = None,
        arrays: list[Array] | None = None,
        held: Mapping[int, HeldOutputs] | None = None,
    ) -> float:
        """Return the loss with the present parameters and x, running the layers from ``start`` on.

        ``frozen`` holds every unit on its side of the corner, and ``held`` outputs of users' layers; ``sides``
        takes the sides, ``arrays`` every layer's input and the last output.
        """
        self._rewind()
        y = self.inputs[start] if start else self.x
        for index in range(start, self.depth):
            corner, layer = self.corners.get(index), self.model.layers[index]
            if arrays is not None:
                arrays.append(np.array(y))
            if corner is not None and sides is not None:
                sides[index] = corner.above(y)
            if corner is not None and frozen:
                y = corner.frozen(y, self.above[index])
            else:
                # A user's layer may write into its input.
                x, y = y, layer.forward(y.copy() if _is_foreign(layer) else y, training=True)
                if held is not None and index in held:
                    y = held[index].applied(x, y)
        if arrays is not None:
            arrays.append(np.array(y))
        return float(self._computed_loss(y, self.y, sample_weight=self.sample_weight)[0])

    def output_slope(self, index: int, place: tuple[int, ...]) -> OutputSlope:
        """Return what the backward pass of a user's layer takes as the slope of one of its outputs.

        The parameters and x must be those at which the loss is checked.
        """
        known = self._slopes.get((index, place))
        if known is None:
            layer = self.model.layers[index]
            arrays: list[Array] = []
            self.value_from(0, arrays=arrays)
            x, y = arrays[index], arrays[index + 1]
            dy = np.zeros_like(y)
            dy[place] = 1.0
            # A backward pass may write into dy, and leave its gradients wherever it keeps them.
            arriving = [(x, np.array(layer.backward(dy)))]
            arriving += [(array, np.array(layer.grads[name])) for name, array in layer.params.items()]
            known = self._slopes[index, place] = OutputSlope(float(y[place]), arriving)
        return known

    def _shaken(self, size: float) -> Iterator[None]:
        """Yield while all parameters and inputs are changed by a part ``size`` of themselves, a few times."""
        rng = np.random.default_rng(0)
        arrays = self.model.flat_params, self.x
        kept = [array.copy() for array in arrays]
        try:
            for _ in range(_TRIALS):
                for array, values in zip(arrays, kept, strict=True):
                    array[...] = values * (1.0 + size * rng.choice([-1.0, 1.0], values.shape))
                yield
        finally:
            for array, values in zip(arrays, kept, strict=True):
                array[...] = values

    def _loss_noise(self) -> float:
        """Return the change of the loss with the last digits; trials that cross a corner do not count."""
        noise = least_noise(self.value)
        for _ in self._shaken(_EPS):
            sides: dict[int, Array] = {}
            value = self.value_from(0, sides=sides)
            if math.isfinite(value) and all(np.array_equal(sides[i], self.above[i]) for i in sides):
                noise = max(noise, _MARGIN * abs(value - self.value))
        return noise

    def _gradient_noise(self) -> dict[str, float]:
        """Return the change of the gradients with the last digits.

        Measured with larger changes and scaled down, so that a jump at a corner counts for nothing.
        """
        noise = dict.fromkeys(self.gradients, 0.0)
        for _ in self._shaken(_EPS * _SCALED):
            for name, gradient in self._backpropagate()[1].items():
                change = np.abs(gradient - self.gradients[name])
                largest = float(change[np.isfinite(change)].max(initial=0.0))
                noise[name] = max(noise[name], _MARGIN * largest / _SCALED)
        return noise


def _is_foreign(layer: Any) -> bool:
    """Return whether the forward pass of ``layer`` is not the package's."""
    module: str = type(layer).forward.__module__
    return module.partition(".")[0] != "relu_layers"
