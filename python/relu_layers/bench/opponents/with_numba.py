"""Numba: the step and the whole fit as one compiled loop, products by BLAS or, where they are tiny, by loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numba
import numpy as np

from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Array, Data, checked
from relu_layers.bench.opponents import numba_kernels as kernels
from relu_layers.bench.opponents.base import Runner, UnsupportedError, as_numpy, blocks, timed


class Numba:
    """Functions compiled by Numba when a case is prepared; single products are BLAS and left to NumPy."""

    def __init__(self, threads: int) -> None:
        numba.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        """Return the version."""
        return {"numba": numba.__version__}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return one op, or the step, the inference or the fit of a network, compiled."""
        if case.family == "gemm":
            raise UnsupportedError("its products are calls of BLAS, as NumPy's are")
        if case.section == "ops":
            return _updates(case, data) if case.family == "update" else _op(case, data)
        net = _Net(case, data)
        if case.section == "inference":
            return Runner(
                lambda: as_numpy(*(net.infer(*each) for each in checked(data.rotation))),
                blocks(net.infer, data.rotation),
            )
        if case.section == "training":

            def outcome() -> list[Array]:
                losses = [net.step(*each) for each in checked(data.rotation)]
                return as_numpy(losses, net.params)

            return Runner(outcome, blocks(net.step, data.rotation))
        return _fit(case, data, net)


class _Net:
    """Arrays of a network as the compiled functions take them: tuples over the layers, views of flat arrays."""

    def __init__(self, case: Case, data: Data) -> None:
        dtype, batch = np.dtype(case.dtype), case.batch
        self.params = np.concatenate([array.reshape(-1) for layer in data.weights for array in layer])
        self.grads = np.zeros_like(self.params)
        slots = 2 if case.optimizer == "adam" else 1
        self._slots = tuple(np.zeros_like(self.params) for _ in range(slots))
        self._layers = (*_views(self.params, data), *_views(self.grads, data))
        self._outputs = tuple(np.empty((batch, size), dtype) for size in case.shape[1:])
        self._deltas = tuple(np.empty((batch, size), dtype) for size in case.shape[1:])
        self._rate, self._momentum = dtype.type(cases.LEARNING_RATE), dtype.type(0)
        if case.optimizer == "momentum":
            self._momentum = dtype.type(cases.MOMENTUM)
        self._update = kernels.adam if case.optimizer == "adam" else kernels.momentum
        self._settings = (
            (self._rate, dtype.type(cases.BETA1), dtype.type(cases.BETA2), dtype.type(cases.EPSILON))
            if case.optimizer == "adam"
            else (self._rate, self._momentum)
        )
        self._step = kernels.make_step(self._update, kernels.squared if case.regression else kernels.crossed)
        self._epoch = kernels.make_epoch(self._step)
        self._done = np.zeros(1, np.int64)

    def infer(self, x: Array) -> Array:
        """Return the outputs, in a new array."""
        weights, biases = self._layers[:2]
        kernels.forward(x, weights, biases, self._outputs)
        return self._outputs[-1].copy()

    def step(self, x: Array, y: Array) -> float:
        """Train on one minibatch and return its loss."""
        loss: float = self._step(x, y, *self._arguments())
        return loss

    def epoch(self, x: Array, y: Array, order: Array, x_batch: Array, y_batch: Array) -> None:
        """Train on all rows in the given order."""
        self._epoch(x, y, order, x_batch, y_batch, *self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        flat = (self.params, self.grads, self._slots)
        return (self._layers, self._outputs, self._deltas, flat, self._settings, self._done)


def _views(flat: Array, data: Data) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return weights and biases as views of one flat array."""
    weights, biases, start = [], [], 0
    for weight, bias in data.weights:
        middle, end = start + weight.size, start + weight.size + bias.size
        weights.append(flat[start:middle].reshape(weight.shape))
        biases.append(flat[middle:end])
        start = end
    return tuple(weights), tuple(biases)


def _fit(case: Case, data: Data, net: _Net) -> Runner:
    [(x, y)] = data.rotation
    rng = np.random.default_rng()
    x_batch, y_batch = np.empty_like(x[: case.batch]), np.empty_like(y[: case.batch])

    def outcome() -> list[Array]:
        net.epoch(x, y, np.arange(CHECKED_CALLS * case.batch), x_batch, y_batch)
        return as_numpy(net.params)

    def run(epochs: int) -> None:
        for _ in range(epochs):
            net.epoch(x, y, rng.permutation(len(x)), x_batch, y_batch)

    return Runner(outcome, timed(run), case.steps)


def _op(case: Case, data: Data) -> Runner:
    first = data.rotation[0]
    out = np.empty_like(first[0])
    slope = out.dtype.type(cases.SLOPE)
    flat = out.reshape(-1)
    calls: dict[str, Callable[..., Any]] = {
        "relu-forward": lambda x: kernels.relu(x, slope, flat),
        "relu-backward": lambda x, dy: kernels.relu_gradient(x, dy, slope, flat),
        "softmax": lambda x: kernels.softmax(x, out),
        "cross-entropy": lambda x, labels: kernels.crossed(x, labels, out),
    }
    call = calls[case.op]

    def outcome() -> list[Array]:
        value = call(*first)
        return as_numpy(value, out) if case.op == "cross-entropy" else as_numpy(out)

    return Runner(outcome, blocks(call, data.rotation))


def _updates(case: Case, data: Data) -> Runner:
    param, *slots = data.state
    kind = param.dtype.type
    rate, factor = kind(cases.LEARNING_RATE), kind(cases.MOMENTUM)
    settings = rate, kind(cases.BETA1), kind(cases.BETA2), kind(cases.EPSILON)
    numbers = count(1)

    def adam(gradient: Array) -> None:
        kernels.adam_update(param, gradient, slots[0], slots[1], *settings, next(numbers))

    def momentum(gradient: Array) -> None:
        kernels.momentum_update(param, gradient, slots[0], rate, factor)

    call = adam if case.op == "adam-update" else momentum

    def outcome() -> list[Array]:
        for each in checked(data.rotation):
            call(*each)
        return as_numpy(param)

    return Runner(outcome, blocks(call, data.rotation))
