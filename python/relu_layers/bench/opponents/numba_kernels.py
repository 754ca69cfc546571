"""The compiled functions of the Numba opponent: plain loops, which LLVM turns into vectors.

``flat`` is (params, grads, slots), ``layers`` (weights, biases, gradients of both), each a tuple over the layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

from relu_layers.bench.data import Array

F = TypeVar("F", bound=Callable[..., Any])
# Multiply-adds below which loops beat a call of BLAS.
_BY_LOOPS = 4_000


def compiled(function: F) -> F:
    """Return the function compiled without the GIL; division by zero as in NumPy."""
    done: F = njit(nogil=True, error_model="numpy")(function)
    return done


@compiled
def relu(x: Array, slope: float, out: Array) -> None:
    """Write x where it is positive, else slope * x."""
    for i in range(x.size):
        out[i] = x[i] if x[i] > 0 else slope * x[i]


@compiled
def relu_gradient(x: Array, dy: Array, slope: float, out: Array) -> None:
    """Write dy where x is positive, else slope * dy."""
    for i in range(x.size):
        out[i] = dy[i] if x[i] > 0 else slope * dy[i]


@compiled
def softmax(x: Array, out: Array) -> None:
    """Write the probabilities of each row."""
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(1, x.shape[1]):
            top = max(top, x[i, j])
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            out[i, j] = math.exp(x[i, j] - top)
        for j in range(x.shape[1]):
            total += out[i, j]
        share = x.dtype.type(1) / total
        for j in range(x.shape[1]):
            out[i, j] *= share


@compiled
def crossed(x: Array, labels: Array, out: Array) -> float:
    """Write the gradient of the mean cross entropy of the rows and return its value."""
    rows = x.shape[0]
    mean = x.dtype.type(1.0 / rows)
    loss = 0.0
    for i in range(rows):
        top = x[i, 0]
        for j in range(1, x.shape[1]):
            top = max(top, x[i, j])
        for j in range(x.shape[1]):
            out[i, j] = math.exp(x[i, j] - top)
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            total += out[i, j]
        loss += math.log(total) - (x[i, labels[i]] - top)
        share = mean / total
        for j in range(x.shape[1]):
            out[i, j] *= share
        out[i, labels[i]] -= mean
    return float(loss / rows)


@compiled
def squared(z: Array, y: Array, out: Array) -> float:
    """Write the gradient of half the mean squared error and return its value."""
    rows = z.shape[0]
    mean = z.dtype.type(1.0 / rows)
    loss = 0.0
    for i in range(rows):
        for j in range(z.shape[1]):
            error = z[i, j] - y[i, j]
            loss += error * error
            out[i, j] = error * mean
    return float(0.5 * loss / rows)


@compiled
def forward(x: Array, weights: Any, biases: Any, outputs: Any) -> None:
    """Write the output of every layer."""
    last = len(weights) - 1
    below = x
    for layer in range(last + 1):
        weight, bias, z = weights[layer], biases[layer], outputs[layer]
        rows, inputs, columns = z.shape[0], weight.shape[0], weight.shape[1]
        if rows * inputs * columns < _BY_LOOPS:
            for i in range(rows):
                for j in range(columns):
                    z[i, j] = bias[j]
                for k in range(inputs):
                    value = below[i, k]
                    for j in range(columns):
                        z[i, j] += value * weight[k, j]
        else:
            np.dot(below, weight, z)
            for i in range(rows):
                for j in range(columns):
                    z[i, j] += bias[j]
        if layer < last:
            flat = z.reshape(-1)
            for i in range(flat.size):
                flat[i] = max(flat[i], flat.dtype.type(0))
        below = z


@compiled
def backward(x: Array, layers: Any, outputs: Any, deltas: Any) -> None:
    """Write the gradients of all layers, given the last delta."""
    weights, _, grad_weights, grad_biases = layers
    for layer in range(len(weights) - 1, -1, -1):
        delta, grad, grad_bias = deltas[layer], grad_weights[layer], grad_biases[layer]
        below = outputs[layer - 1] if layer else x
        weight = weights[layer]
        rows, inputs, columns = delta.shape[0], weight.shape[0], weight.shape[1]
        tiny = rows * inputs * columns < _BY_LOOPS
        grad_bias[:] = 0
        for i in range(rows):
            for j in range(columns):
                grad_bias[j] += delta[i, j]
        if tiny:
            grad[:] = 0
            for i in range(rows):
                for k in range(inputs):
                    value = below[i, k]
                    for j in range(columns):
                        grad[k, j] += value * delta[i, j]
        else:
            np.dot(below.T, delta, grad)
        if layer:
            lower = deltas[layer - 1]
            if tiny:
                for i in range(rows):
                    for k in range(inputs):
                        total = delta.dtype.type(0)
                        for j in range(columns):
                            total += delta[i, j] * weight[k, j]
                        lower[i, k] = total
            else:
                np.dot(delta, weight.T, lower)
            flat, shown = lower.reshape(-1), below.reshape(-1)
            for i in range(flat.size):
                flat[i] = flat[i] if shown[i] > 0 else flat.dtype.type(0)


@compiled
def momentum_update(params: Array, grads: Array, velocity: Array, rate: float, factor: float) -> None:
    """Update with v = factor * v + rate * g."""
    for i in range(params.size):
        velocity[i] = factor * velocity[i] + rate * grads[i]
        params[i] -= velocity[i]


@compiled
def adam_update(
    params: Array,
    grads: Array,
    mean: Array,
    square: Array,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    step: int,
) -> None:
    """Update with Adam; ``step`` counts from 1."""
    one = params.dtype.type(1)
    root = math.sqrt(1.0 - float(beta2) ** step)
    factor = params.dtype.type(rate * root / (1.0 - float(beta1) ** step))
    small = params.dtype.type(epsilon * root)
    for i in range(params.size):
        g = grads[i]
        mean[i] = beta1 * mean[i] + (one - beta1) * g
        square[i] = beta2 * square[i] + (one - beta2) * g * g
        params[i] -= factor * mean[i] / (math.sqrt(square[i]) + small)


@compiled
def momentum(flat: Any, settings: Any, done: Array) -> None:
    """Update a network with momentum."""
    params, grads, slots = flat
    rate, factor = settings
    momentum_update(params, grads, slots[0], rate, factor)


@compiled
def adam(flat: Any, settings: Any, done: Array) -> None:
    """Update a network with Adam; ``done`` counts the updates."""
    params, grads, slots = flat
    rate, beta1, beta2, epsilon = settings
    done[0] += 1
    adam_update(params, grads, slots[0], slots[1], rate, beta1, beta2, epsilon, done[0])


def make_step(update: Callable[..., None], loss_of: Callable[..., float]) -> Callable[..., float]:
    """Return the compiled step with this loss and this update."""

    @compiled
    def step(
        x: Array, y: Array, layers: Any, outputs: Any, deltas: Any, flat: Any, settings: Any, done: Array
    ) -> float:
        forward(x, layers[0], layers[1], outputs)
        loss = loss_of(outputs[-1], y, deltas[-1])
        backward(x, layers, outputs, deltas)
        update(flat, settings, done)
        return loss

    return step


def make_epoch(step: Callable[..., float]) -> Callable[..., float]:
    """Return the compiled loop over the minibatches of an order."""

    @compiled
    def epoch(
        x: Array,
        y: Array,
        order: Array,
        x_batch: Array,
        y_batch: Array,
        layers: Any,
        outputs: Any,
        deltas: Any,
        flat: Any,
        settings: Any,
        done: Array,
    ) -> float:
        rows = x_batch.shape[0]
        total = 0.0
        for start in range(0, order.size, rows):
            for i in range(rows):
                x_batch[i] = x[order[start + i]]
                y_batch[i] = y[order[start + i]]
            total += step(x_batch, y_batch, layers, outputs, deltas, flat, settings, done)
        return total

    return epoch
