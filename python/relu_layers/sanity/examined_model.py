"""A copy of the model in its own dtype, and one training pass over the batch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.examples import examples
from relu_layers.gradient_check.copies import copied_model
from relu_layers.gradient_check.entries import shown
from relu_layers.layers import Dropout, ParameterLayer
from relu_layers.losses import Loss, as_loss, default_loss, training_depth
from relu_layers.model import Sequential

OWNER = "sanity_check"


class ExaminedModel:
    """A model with its data and loss, and the results of one pass over them.

    Attributes
    ----------
    model : Sequential
        A copy.
    inputs : list of ndarray
        The input of each layer, and at the end the outputs that the loss sees.
    value : float
        The loss.
    gradients : dict of str to ndarray
    """

    def __init__(self, model: Sequential, x: Any, y: Any, loss: Any, seed: int) -> None:
        if loss is not None and (isinstance(loss, type) or not callable(loss)):
            raise TypeError(f"{OWNER}: loss is {loss!r}, expected an object such as SoftmaxCrossEntropy()")
        self.original, self.seed = model, seed
        self.model = copied_model(OWNER, model, model.dtype)
        loss = default_loss(model, y) if loss is None else loss
        self.loss: Any = copy.deepcopy(loss) if isinstance(loss, Loss) else loss
        self._computed_loss = as_loss(self.loss, self.model.ops)
        given = examples(OWNER, x, y, dtype=self.model.dtype, loss=self.loss)
        self.x, self.y = given.x, given.y
        self.depth = training_depth(self.model.layers, self.loss)
        with np.errstate(all="ignore"):
            self._run()

    def _run(self) -> None:
        layers = self.model.layers
        self.inputs: list[Array] = [self.x]
        # The model's own pass first: its errors name the layer.
        found = self.model._passes.loss_and_gradients(self._computed_loss, self.x, self.y, depth=self.depth)
        self.value = found.value
        prefixes = tuple(f"{index}." for index in range(self.depth))
        self.gradients = {key: g.copy() for key, g in self.model.grads.items() if key.startswith(prefixes)}
        for layer, original in zip(layers, self.original.layers, strict=True):
            if isinstance(layer, Dropout):
                layer.load_state_dict(original.state_dict())
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
        return float(self._computed_loss(outputs, y)[0])
