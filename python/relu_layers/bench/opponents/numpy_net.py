"""A dense ReLU network in NumPy, trained by hand-written backpropagation: nothing is allocated in a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relu_layers.bench.cases import Case
from relu_layers.bench.opponents.base import Array, fastest
from relu_layers.bench.opponents.numpy_updates import Update, fastest_update, split


class Rows:
    """Softmax and its loss over the rows of one array, into ``out``."""

    def __init__(self, out: Array, rows: int, classes: int) -> None:
        self._out, self._flat = out, out.reshape(-1)
        self._column = np.empty((rows, 1), out.dtype)
        self._line = self._column.reshape(-1)
        self._logs = np.empty_like(self._line)
        self._starts = np.arange(0, rows * classes, classes)
        self._places = np.empty_like(self._starts)
        self._picked = np.empty(rows, out.dtype)
        self._rows, self._share = rows, 1.0 / rows

    def softmax(self, x: Array) -> None:
        """Write the probabilities."""
        self._exponentials(x)
        np.divide(self._out, self._column, out=self._out)

    def cross_entropy(self, x: Array, labels: Array) -> float:
        """Write the gradient of the mean loss and return the loss."""
        np.add(self._starts, labels, out=self._places)
        self._exponentials(x, pick=True)
        np.log(self._line, out=self._logs)
        loss = float(np.add.reduce(self._logs) - np.add.reduce(self._picked)) * self._share
        np.divide(self._share, self._line, out=self._line)
        np.multiply(self._out, self._column, out=self._out)
        self._flat[self._places] -= self._share
        return loss

    def _exponentials(self, x: Array, pick: bool = False) -> None:
        """Write exp(x - row maximum) and the sums of its rows; keep the shifted logits of the labels."""
        np.maximum.reduce(x, axis=1, keepdims=True, out=self._column)
        np.subtract(x, self._column, out=self._out)
        if pick:
            np.take(self._flat, self._places, out=self._picked, mode="clip")
        np.exp(self._out, out=self._out)
        np.add.reduce(self._out, axis=1, keepdims=True, out=self._column)


class Net:
    """The network, its gradients and one buffer per intermediate.

    Attributes
    ----------
    params : ndarray
        All weights and biases, layer by layer, in one array.
    """

    def __init__(self, case: Case, weights: Sequence[tuple[Array, Array]]) -> None:
        dtype, batch = np.dtype(case.dtype), case.batch
        self._regression, self._share = case.regression, 1.0 / batch
        self.params = np.concatenate([array.reshape(-1) for layer in weights for array in layer])
        self._grads = np.zeros_like(self.params)
        self._weights, self._grad_views = _views(self.params, weights), _views(self._grads, weights)
        self._outputs = [np.empty((batch, size), dtype) for size in case.shape[1:]]
        self._deltas = [np.empty((batch, size), dtype) for size in case.shape[1:]]
        self._masks = [np.empty((batch, size), np.bool_) for size in case.shape[1:]]
        self._ones = np.ones(batch, dtype)
        self._rows = Rows(self._deltas[-1], batch, case.shape[-1])
        self._mask = self._by_product
        self._update: Update = _no_update
        self._grad_parts: list[Array] = []
        if case.optimizer:
            slots = {"sgd": 0, "momentum": 1, "adam": 2}[case.optimizer]
            state = [self.params, *(np.zeros_like(self.params) for _ in range(slots))]
            self._update, length = fastest_update(case.optimizer, state, self._grads)
            self._grad_parts = split(self._grads, length)

    def forward(self, x: Array) -> Array:
        """Return the logits, in a buffer that the next call overwrites."""
        last = len(self._weights) - 1
        for index, (weight, bias) in enumerate(self._weights):
            z = self._outputs[index]
            np.dot(x, weight, out=z)
            np.add(z, bias, out=z)
            if index < last:
                np.maximum(z, 0, out=z)
            x = z
        return x

    def choose(self, x: Array, y: Array) -> None:
        """Take the fastest way to stop the gradient where a unit is off."""
        self.forward(x)
        if len(self._weights) > 1:
            self._loss(self._outputs[-1], y)
            ways = [self._by_product, self._by_put, self._by_sign]
            self._mask = fastest(ways, self._deltas[0], self._outputs[0], self._masks[0])

    def step(self, x: Array, y: Array) -> float:
        """Train on one minibatch and return its loss before the update."""
        loss = self._loss(self.forward(x), y)
        for index in range(len(self._weights) - 1, -1, -1):
            delta = self._deltas[index]
            below = self._outputs[index - 1] if index else x
            grad_weight, grad_bias = self._grad_views[index]
            np.dot(below.T, delta, out=grad_weight)
            np.dot(self._ones, delta, out=grad_bias)
            if index:
                np.dot(delta, self._weights[index][0].T, out=self._deltas[index - 1])
                self._mask(self._deltas[index - 1], below, self._masks[index - 1])
        self._update(self._grad_parts)
        return loss

    def _loss(self, z: Array, y: Array) -> float:
        """Return the loss and write its gradient with respect to z into the last delta."""
        if not self._regression:
            return self._rows.cross_entropy(z, y)
        delta = self._deltas[-1]
        np.subtract(z, y, out=delta)
        flat = delta.reshape(-1)
        loss = 0.5 * self._share * float(np.dot(flat, flat))
        np.multiply(delta, self._share, out=delta)
        return loss

    @staticmethod
    def _by_product(delta: Array, output: Array, mask: Array) -> None:
        np.greater(output, 0, out=mask)
        np.multiply(delta, mask, out=delta)

    @staticmethod
    def _by_put(delta: Array, output: Array, mask: Array) -> None:
        np.less_equal(output, 0, out=mask)
        np.copyto(delta, 0, where=mask)

    @staticmethod
    def _by_sign(delta: Array, output: Array, _mask: Array) -> None:
        # The outputs of a ReLU are not needed again once their layer's gradient is known.
        np.sign(output, out=output)
        np.multiply(delta, output, out=delta)


def _no_update(_parts: Sequence[Array]) -> None:
    """Inference changes nothing."""


def _views(flat: Array, like: Sequence[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
    """Return weight and bias of each layer as views of one flat array."""
    views: list[tuple[Array, Array]] = []
    start = 0
    for weight, bias in like:
        middle, end = start + weight.size, start + weight.size + bias.size
        views.append((flat[start:middle].reshape(weight.shape), flat[middle:end]))
        start = end
    return views
