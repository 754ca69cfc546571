"""What is checked: a copy of the model in its own dtype, and one training pass over the batch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.examples import examples
from relu_layers.gradient_check import copied_model, shown
from relu_layers.layers import Dropout, ParameterLayer, Sigmoid
from relu_layers.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError, training_depth
from relu_layers.model import Sequential

OWNER = "sanity_check"


class ExaminedModel:
    """A model with its data and loss, and what one pass over them gives.

    Attributes
    ----------
    model : Sequential
        A copy.
    inputs : list of ndarray
        What each layer gets, and at the end the outputs that the loss sees.
    value : float
        The loss.
    gradients : dict of str to ndarray
    """

    def __init__(self, model: Sequential, x: Any, y: Any, loss: Any, seed: int) -> None:
        if loss is not None and (isinstance(loss, type) or not callable(loss)):
            raise TypeError(f"{OWNER}: loss is {loss!r}, expected an object such as SoftmaxCrossEntropy()")
        self.original, self.seed = model, seed
        self.model = copied_model(OWNER, model, model.dtype)
        self.loss = _default_loss(model, y) if loss is None else loss
        if isinstance(self.loss, Loss):
            self.loss = copy.deepcopy(self.loss)
            self.loss.use(self.model.ops)
        given = examples(OWNER, x, y, dtype=self.model.dtype, loss=self.loss)
        self.x, self.y = given.x, given.y
        self.depth = training_depth(self.model.layers, self.loss)
        with np.errstate(all="ignore"):
            self._run()

    def _run(self) -> None:
        layers = self.model.layers
        self.inputs: list[Array] = [self.x]
        # The model's own pass first: its errors name the layer.
        output = np.array(self.model._passes.forward(self.x, self.depth), order="C")
        given, dy = self.loss(output, self.y)
        self.value = float(given)
        if self.depth:
            self.model._passes.backward(dy, self.depth, need_dx=False)
        prefixes = tuple(f"{index}." for index in range(self.depth))
        self.gradients = {key: g.copy() for key, g in self.model.grads.items() if key.startswith(prefixes)}
        for layer, original in zip(layers, self.original.layers, strict=True):
            if isinstance(layer, Dropout):
                layer.load_state(original.state())
        for layer in layers[: self.depth]:
            self.inputs.append(np.array(layer.forward(self.inputs[-1], training=True)))

    def named(self, index: int) -> str:
        """Return how messages name a layer."""
        return f"layer {index}, {shown(self.model.layers[index])}"

    def fresh(self) -> Sequential:
        """Return a copy with newly drawn weights and without dropout; a user's own layers keep theirs."""
        result = copied_model(OWNER, self.original, self.original.dtype)
        rng = np.random.default_rng(self.seed)
        for layer in result.layers:
            if isinstance(layer, ParameterLayer):
                layer.initialize(rng)
            if isinstance(layer, Dropout):
                layer.rate = 0.0
        return result

    def loss_of(self, outputs: Array, y: Array) -> float:
        """Return the loss of outputs."""
        return float(self.loss(outputs, y)[0])


def _default_loss(model: Sequential, y: Any) -> Loss:
    if np.asarray(y).dtype.kind in "iub" and np.ndim(y) == 1:
        return SoftmaxCrossEntropy()
    return SigmoidCrossEntropy() if isinstance(model.layers[-1], Sigmoid) else SquaredError()
