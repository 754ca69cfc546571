"""The expected results: the same calls in float64, as plain as the formulas, and the tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Array, checked, make


@dataclass(frozen=True)
class Expected:
    """One array of an outcome.

    Attributes
    ----------
    name : str
        For messages.
    value : ndarray, float64
    tolerance : float
        Largest allowed error: of any entry, or the root mean square over all of them.
    mean_square : bool
        Which of the two.
    """

    name: str
    value: Array
    tolerance: float
    mean_square: bool = False


def expected(case: Case, seed: int) -> list[Expected]:
    """Return what the checked calls of a case give.

    One sum of k products has an error that grows as k roundings of its terms: ``eps * k * rms(a) * rms(b)``,
    doubled for the largest of many entries. In training, a unit whose input is within rounding of zero may
    switch, and Adam divides numbers that nearly cancel; both are rare and large, so parameters are compared by
    the root mean square of their error over that of their change, and half the digits must agree:
    ``sqrt(eps * k)``. Adam's own epsilon stands before or after the bias correction, which changes what becomes of
    gradients that are as small as it is.
    """
    data = make(case, seed, CHECKED_CALLS)
    # A rotation shorter than the checked calls starts again.
    data.rotation = data.rotation if case.section == "fit" else checked(data.rotation)
    eps = float(np.finfo(case.dtype).eps)
    if case.section == "ops":
        first = [_wide(array) for array in data.rotation[0]]
        layer = [_wide(array) for array in data.weights[0]] if data.weights else []
        state = [_wide(array) for array in data.state]
        gradients = [_wide(gradient) for (gradient, *_) in data.rotation] if state else []
        return _op(case, eps, first, layer, state, gradients)
    weights = [(_wide(weight), _wide(bias)) for weight, bias in data.weights]
    k = max(case.shape) + case.batch
    if case.section == "inference":
        outputs = [_forward(weights, _wide(x))[-1] for (x,) in data.rotation]
        scale = max(float(np.abs(value).max()) for value in outputs)
        depth = len(weights)
        return [Expected("outputs", value, 2 * eps * k * depth * scale) for value in outputs]
    rotation = data.rotation
    if case.section == "fit":
        x, y = rotation[0]
        parts = range(0, len(x), case.batch)
        rotation = [(x[start : start + case.batch], y[start : start + case.batch]) for start in parts]
    before = _flat(weights)
    losses, after, size = _train(case, weights, [(_wide(x), y) for x, y in rotation])
    # The share of gradients below epsilon.
    tiny = cases.EPSILON / size if case.optimizer == "adam" else 0.0
    half = sqrt(eps * k + tiny)
    change = sqrt(float(np.mean((after - before) ** 2)))
    params = Expected("parameters", after, half * change + eps * _rms(before), mean_square=True)
    if case.section == "fit":
        return [params]
    return [Expected("losses", losses, half * float(np.abs(losses).max())), params]


def difference(found: Sequence[Array], wanted: Sequence[Expected]) -> str:
    """Return how an outcome differs from the expected one, or an empty string."""
    if len(found) != len(wanted):
        return f"{len(found)} results instead of {len(wanted)}"
    for array, want in zip(found, wanted, strict=True):
        if array.size != want.value.size:
            return f"{want.name} have {array.size} entries instead of {want.value.size}"
        error = np.abs(array.reshape(want.value.shape) - want.value)
        largest = _rms(error) if want.mean_square else float(error.max(initial=0.0))
        if not largest <= want.tolerance:
            return f"{want.name} differ by {largest:.3g}, allowed are {want.tolerance:.3g}"
    return ""


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _rms(array: Array) -> float:
    flat = array.reshape(-1)
    return sqrt(float(flat @ flat) / max(flat.size, 1))


def _flat(weights: Sequence[tuple[Array, Array]]) -> Array:
    return np.concatenate([array.reshape(-1) for layer in weights for array in layer])


def _op(
    case: Case,
    eps: float,
    first: Sequence[Array],
    layer: Sequence[Array],
    state: Sequence[Array],
    gradients: Sequence[Array],
) -> list[Expected]:
    if case.family == "gemm":
        return _product(case, eps, first, layer)
    x = first[0]
    if case.family == "relu":
        values = x if case.op == "relu-forward" else first[1]
        y = np.where(x > 0, values, cases.SLOPE * values)
        # Two roundings, and the slope itself is rounded to the dtype.
        return [Expected("results", y, 2 * eps * cases.SLOPE * float(np.abs(values).max()))]
    if case.family == "update":
        kind = "momentum" if case.op == "sgd-update" else "adam"
        param = _update(kind, state, gradients)
        return [Expected("parameters", param, 4 * CHECKED_CALLS * eps * float(np.abs(param).max()))]
    classes = case.shape[-1]
    probabilities = _softmax(x)
    # exp doubles the rounding of its argument, the sum adds one per class and the division one more.
    relative = eps * (classes + 8 * float(np.abs(x).max()))
    if case.op == "softmax":
        return [Expected("probabilities", probabilities, relative * float(probabilities.max()))]
    loss, gradient = _cross_entropy(x, first[1])
    rows = case.shape[0]
    return [
        Expected("loss", np.array(loss), relative * loss + eps * sqrt(rows) * loss),
        Expected("gradient", gradient, relative / rows),
    ]


def _product(case: Case, eps: float, first: Sequence[Array], layer: Sequence[Array]) -> list[Expected]:
    weight, bias = layer

    def near(name: str, a: Array, b: Array, k: int, add: float = 0.0) -> Expected:
        return Expected(name, a @ b, 2 * eps * max(k, 8) * _rms(a) * _rms(b) + 2 * eps * add)

    if case.op == "forward":
        want = near("outputs", first[0], weight, weight.shape[0], float(np.abs(bias).max()))
        return [
            Expected(want.name, want.value + bias, want.tolerance + 4 * eps * float(np.abs(want.value).max()))
        ]
    if case.op == "dx":
        want = near("dx", first[0], weight.T, weight.shape[1])
        return [Expected(want.name, want.value, want.tolerance + 4 * eps * float(np.abs(want.value).max()))]
    x, dy = first
    batch = len(x)
    dbias = dy.sum(axis=0)
    want = near("dweight", x.T, dy, batch)
    return [
        Expected(want.name, want.value, want.tolerance + 4 * eps * float(np.abs(want.value).max())),
        Expected("dbias", dbias, 2 * eps * max(batch, 8) * _rms(dy) + 4 * eps * float(np.abs(dbias).max())),
    ]


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _cross_entropy(x: Array, labels: Array) -> tuple[float, Array]:
    p = _softmax(x)
    rows = np.arange(len(x))
    loss = float(-np.log(p[rows, labels]).mean())
    p[rows, labels] -= 1
    return loss, p / len(x)


def _forward(weights: Sequence[tuple[Array, Array]], x: Array) -> list[Array]:
    """Return x and the output of every layer."""
    values = [x]
    for index, (weight, bias) in enumerate(weights):
        z = values[-1] @ weight + bias
        values.append(np.maximum(z, 0) if index < len(weights) - 1 else z)
    return values


def _train(
    case: Case, weights: Sequence[tuple[Array, Array]], batches: Sequence[tuple[Array, Array]]
) -> tuple[Array, Array, float]:
    """Return the losses, the parameters after one step per minibatch, and the size of the last gradient."""
    params = _flat(weights)
    state = [params, np.zeros_like(params), np.zeros_like(params)]
    losses, size = [], 0.0
    for number, (x, y) in enumerate(batches):
        start, layers = 0, []
        for weight, bias in weights:
            middle, end = start + weight.size, start + weight.size + bias.size
            layers.append((state[0][start:middle].reshape(weight.shape), state[0][middle:end]))
            start = end
        values = _forward(layers, x)
        if case.regression:
            delta = (values[-1] - y) / len(x)
            loss = 0.5 * float(np.mean((values[-1] - y) ** 2))
        else:
            loss, delta = _cross_entropy(values[-1], y)
        losses.append(loss)
        gradient: list[Array] = []
        for index in range(len(layers) - 1, -1, -1):
            gradient[:0] = [(values[index].T @ delta).reshape(-1), delta.sum(axis=0)]
            if index:
                delta = (delta @ layers[index][0].T) * (values[index] > 0)
        flat = np.concatenate(gradient)
        size = _rms(flat)
        _update(case.optimizer, state, [flat], number)
    return np.array(losses), state[0], size


def _update(kind: str, state: Sequence[Array], gradients: Sequence[Array], done: int = 0) -> Array:
    """Update ``state`` in place with each gradient, and return the parameters."""
    param = state[0]
    for step, g in enumerate(gradients, done + 1):
        if kind == "adam":
            mean, square = state[1:]
            mean[...] = cases.BETA1 * mean + (1 - cases.BETA1) * g
            square[...] = cases.BETA2 * square + (1 - cases.BETA2) * g * g
            corrected = square / (1 - cases.BETA2**step)
            rate = cases.LEARNING_RATE / (1 - cases.BETA1**step)
            param -= rate * mean / (np.sqrt(corrected) + cases.EPSILON)
        else:
            velocity = state[1]
            velocity[...] = (
                cases.MOMENTUM if kind == "momentum" else 0.0
            ) * velocity + cases.LEARNING_RATE * g
            param -= velocity
    return param
