"""What is checked: a float64 copy of a model with its batch and loss, everything random held still."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from relu_layers._support.arguments import converted_array
from relu_layers._support.configured import Array
from relu_layers._training.examples import examples
from relu_layers.gradient_check.corners import corner_of
from relu_layers.layers import Layer
from relu_layers.losses import Loss, SoftmaxCrossEntropy, SquaredError, training_depth
from relu_layers.model import Sequential

OWNER = "gradcheck"
_EPS = float(np.finfo(np.float64).eps)
# What a computed loss may be off by, at least, in units of eps * |loss|.
LEAST_NOISE = 4.0
# Changes of the last digits that are tried, and the factor by which rounding may exceed the largest effect.
_TRIALS, _MARGIN = 8, 2.0
# By how much larger changes are that measure the noise of gradients. A jump at a corner, divided by this, is far
# below the agreement that is asked for; and the changes, about 1e-5, are still small.
_SCALED = 2.0**36


def copied_model(owner: str, model: Any, dtype: Any) -> Sequential:
    """Return an independent model with the same values, masks and ops; one layer becomes a model of it.

    ``dtype`` is float64 or the model's own.
    """
    if isinstance(model, type):
        raise TypeError(f"{owner}: model is the class {model.__name__}; pass {model.__name__}(...)")
    layers = model.layers if isinstance(model, Sequential) else (model,)
    # Built-in layers are not asked: reading their params would draw values.
    protocol = () if isinstance(layers[0], Layer) else ("forward", "backward", "params", "grads")
    lacking = [name for name in protocol if not hasattr(layers[0], name)]
    if lacking:
        raise TypeError(
            f"{owner}: model is a {type(model).__name__} without {', '.join(lacking)}; "
            "expected a Sequential or one layer"
        )
    ops = model.__dict__.get("ops") if isinstance(model, (Sequential, Layer)) else None
    try:
        copies = [copy.deepcopy(layer) for layer in layers]
    except Exception as error:
        raise TypeError(
            f"{owner}: {model!r} works on a copy, but a layer cannot be copied "
            f"({type(error).__name__}: {error}); give it a __deepcopy__"
        ) from error
    result = Sequential(*copies, dtype=dtype, rng=0, ops=ops)
    for layer, original in zip(copies, layers, strict=True):
        if _has_state(layer):
            layer.load_state(original.state())
    return result


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
        What backward gives: parameters by their keys, and ``"x"``.
    noise : float
        What the computed loss may be off by through rounding.
    gradient_noise : dict of str to float
        The same for the gradients of each array.
    """

    def __init__(self, model: Any, x: Any, y: Any, loss: Any, sample_weight: Any) -> None:
        if loss is not None and (isinstance(loss, type) or not callable(loss)):
            raise TypeError(f"{OWNER}: loss is {loss!r}, expected an object such as SoftmaxCrossEntropy()")
        if y is None and loss is not None:
            raise TypeError(f"{OWNER}: y is None, but {loss!r} needs a target")
        self.model = copied_model(OWNER, model, np.float64)
        self._states = [(layer, layer.state()) for layer in self.model.layers if _has_state(layer)]
        self._generators = [
            (generator, copy.deepcopy(generator.bit_generator.state))
            for layer in self.model.layers
            if not isinstance(layer, Layer)
            for generator in getattr(layer, "__dict__", {}).values()
            if isinstance(generator, np.random.Generator)
        ]
        self.loss: Any = loss
        if loss is None:
            y = self._default_loss(x, y)
        elif isinstance(loss, Loss):
            self.loss = copy.deepcopy(loss)
        if isinstance(self.loss, Loss):
            self.loss.use(self.model.ops)
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

    def _default_loss(self, x: Any, y: Any) -> Any:
        """Choose the loss: of labels their cross entropy, else squares, if need be against random numbers."""
        given = converted_array(OWNER, "x", x, np.dtype(np.float64))
        self._rewind()
        shape = self._forward(given, len(self.model.layers)).shape
        labels = y is not None and np.asarray(y).dtype.kind in "iub" and np.shape(y) == shape[:-1]
        self.loss = SoftmaxCrossEntropy() if labels else SquaredError(0.5)
        return np.random.default_rng(0).standard_normal(shape) if y is None else y

    def _rewind(self) -> None:
        """Let the next pass draw the same random numbers as the first."""
        for layer, state in self._states:
            layer.load_state(state)
        for generator, state in self._generators:
            generator.bit_generator.state = copy.deepcopy(state)

    def _forward(self, x: Array, depth: int) -> Array:
        """Return the output of the first ``depth`` layers, exactly as in training."""
        try:
            return np.array(self.model._passes.forward(np.array(x, order="C"), depth), order="C")
        except TypeError as error:
            if any(map(_is_foreign, self.model.layers)):
                raise TypeError(f"{error}; {OWNER} computes in float64: keep the dtype of x") from error
            raise

    def _loss_of(self, output: Array) -> tuple[float, Array]:
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight}
        value, dy = self.loss(output, self.y, **weights)
        return float(value), dy

    def _backpropagate(self) -> tuple[float, dict[str, Array]]:
        """Return the loss and all gradients, computed exactly as in training."""
        self._rewind()
        passes = self.model._passes
        output = self._forward(self.x, self.depth)
        value, dy = self._loss_of(output)
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
        dx = passes.backward(dy, self.depth, need_dx=True) if self.depth else dy
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
                    "same input; let it keep an np.random.Generator as attribute, or give it state() and "
                    "load_state(), so that its mask can be held still"
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
    ) -> float:
        """Return the loss with the present parameters and x, running the layers from ``start`` on.

        ``frozen`` holds every unit on its side of the corner; ``sides`` takes the sides, ``arrays`` every
        layer's input and the last output.
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
                # A user's layer may write into what it gets.
                y = layer.forward(y.copy() if _is_foreign(layer) else y, training=True)
        if arrays is not None:
            arrays.append(np.array(y))
        return self._loss_of(y)[0]

    def least_noise(self, loss: float) -> float:
        """Return what a computed loss of this size may be off by at least."""
        return LEAST_NOISE * _EPS * abs(loss)

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
        """Return what changes in the loss with the last digits; trials that cross a corner do not count."""
        noise = self.least_noise(self.value)
        for _ in self._shaken(_EPS):
            sides: dict[int, Array] = {}
            value = self.value_from(0, sides=sides)
            if math.isfinite(value) and all(np.array_equal(sides[i], self.above[i]) for i in sides):
                noise = max(noise, _MARGIN * abs(value - self.value))
        return noise

    def _gradient_noise(self) -> dict[str, float]:
        """Return what changes in the gradients with the last digits.

        Measured with larger changes and scaled down, so that a jump at a corner counts for nothing.
        """
        noise = dict.fromkeys(self.gradients, 0.0)
        for _ in self._shaken(_EPS * _SCALED):
            for name, gradient in self._backpropagate()[1].items():
                change = np.abs(gradient - self.gradients[name])
                largest = float(change[np.isfinite(change)].max(initial=0.0))
                noise[name] = max(noise[name], _MARGIN * largest / _SCALED)
        return noise


def _has_state(layer: Any) -> bool:
    return callable(getattr(layer, "state", None)) and callable(getattr(layer, "load_state", None))


def _is_foreign(layer: Any) -> bool:
    """Return whether the forward pass of ``layer`` is not the package's."""
    module: str = type(layer).forward.__module__
    return module.partition(".")[0] != "relu_layers"
