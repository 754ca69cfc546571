"""Every backward op against four-point central differences of its forward, in float64, in place included.

The rule: within 1e-8 of the largest entry of the array. The step is 1e-3 of inputs of order 1, so the truncation
error h^4/30 f''''' is below 1e-12 and rounding eps/h about 1e-13 of the objective, which is kept at order 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

STEP = 1e-3


def away_from_kinks(rng: np.random.Generator, *shape: int, kink: float = 0.0) -> Any:
    """Numbers of order 1 at least 0.01 from the kink, so that no stencil crosses it."""
    x = rng.uniform(0.01, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
    return x + kink


def check(value: Callable[[], float], at: Any, gradient: Any) -> None:
    numerical = np.empty_like(at)
    for index in np.ndindex(at.shape):
        centre = at[index]
        found = []
        for shift in (-2, -1, 1, 2):
            at[index] = centre + shift * STEP
            found.append(value())
        at[index] = centre
        numerical[index] = (found[0] - 8 * found[1] + 8 * found[2] - found[3]) / (12 * STEP)
    largest = max(np.abs(numerical).max(), np.abs(gradient).max(), 1e-300)
    assert np.abs(numerical - gradient).max() <= 1e-8 * largest


ELEMENTWISE: dict[str, tuple[Callable[..., Any], Callable[..., Any], bool, float]] = {
    # name: forward(ops, x, out), backward(ops, state, dy, out), whether the state is y, the kink
    "relu": (
        lambda o, x, out=None: o.relu_forward(x, out=out),
        lambda o, s, d, out=None: o.relu_backward(s, d, out=out),
        False,
        0.0,
    ),
    "leaky": (
        lambda o, x, out=None: o.relu_forward(x, 0.1, out=out),
        lambda o, s, d, out=None: o.relu_backward(s, d, 0.1, out=out),
        False,
        0.0,
    ),
    "negative slope": (
        lambda o, x, out=None: o.relu_forward(x, -0.3, out=out),
        lambda o, s, d, out=None: o.relu_backward(s, d, -0.3, out=out),
        False,
        0.0,
    ),
    "max(e, x)": (
        lambda o, x, out=None: o.threshold_forward(x, 0.25, 0.25, out=out),
        lambda o, s, d, out=None: o.threshold_backward(s, d, 0.25, out=out),
        False,
        0.25,
    ),
    "elu": (
        lambda o, x, out=None: o.elu_forward(x, 0.7, out=out),
        lambda o, s, d, out=None: o.elu_backward(s, d, 0.7, out=out),
        True,
        0.0,
    ),
    "sigmoid": (
        lambda o, x, out=None: o.sigmoid_forward(x, out=out),
        lambda o, s, d, out=None: o.sigmoid_backward(s, d, out=out),
        True,
        0.0,
    ),
    "selu": (
        lambda o, x, out=None: o.selu_forward(x, out=out),
        lambda o, s, d, out=None: o.selu_backward(s, d, out=out),
        True,
        0.0,
    ),
    "softplus": (
        lambda o, x, out=None: o.softplus_forward(x, out=out),
        lambda o, s, d, out=None: o.softplus_backward(s, d, out=out),
        True,
        0.0,
    ),
    "silu": (
        lambda o, x, out=None: o.silu_forward(x, out=out),
        lambda o, s, d, out=None: o.silu_backward(s, d, out=out),
        False,
        0.0,
    ),
    "gelu": (
        lambda o, x, out=None: o.gelu_forward(x, out=out),
        lambda o, s, d, out=None: o.gelu_backward(s, d, out=out),
        False,
        0.0,
    ),
    "gelu with tanh": (
        lambda o, x, out=None: o.gelu_forward(x, "tanh", out=out),
        lambda o, s, d, out=None: o.gelu_backward(s, d, "tanh", out=out),
        False,
        0.0,
    ),
    "tanh": (
        lambda o, x, out=None: o.tanh_forward(x, out=out),
        lambda o, s, d, out=None: o.tanh_backward(s, d, out=out),
        True,
        0.0,
    ),
    "softmax": (
        lambda o, x, out=None: o.softmax_forward(x, 1, out=out),
        lambda o, s, d, out=None: o.softmax_backward(s, d, 1, out=out),
        True,
        0.0,
    ),
    "softmax, axis 0": (
        lambda o, x, out=None: o.softmax_forward(x, 0, out=out),
        lambda o, s, d, out=None: o.softmax_backward(s, d, 0, out=out),
        True,
        0.0,
    ),
    "log-softmax": (
        lambda o, x, out=None: o.log_softmax_forward(x, 1, out=out),
        lambda o, s, d, out=None: o.log_softmax_backward(s, d, 1, out=out),
        True,
        0.0,
    ),
    "dropout": (
        lambda o, x, out=None: o.dropout_forward(x, 0.4, key=7, counter=3, out=out),
        lambda o, s, d, out=None: o.dropout_backward(d, 0.4, key=7, counter=3, out=out),
        False,
        0.0,
    ),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(ops: Any, name: str) -> None:
    forward, backward, from_y, kink = ELEMENTWISE[name]
    rng = np.random.default_rng(1)
    x = away_from_kinks(rng, 3, 7, kink=kink)
    dy = rng.standard_normal(x.shape)
    state = forward(ops, x) if from_y else x.copy()
    dx = backward(ops, state, dy)
    check(lambda: float(np.sum(forward(ops, x) * dy)), x, dx)
    in_place = dy.copy()
    backward(ops, state, in_place, out=in_place)
    np.testing.assert_array_equal(in_place, dx)


@pytest.mark.parametrize("slopes", [1, 5])
def test_prelu(ops: Any, slopes: int) -> None:
    rng = np.random.default_rng(2)
    x, slope = away_from_kinks(rng, 4, 5), rng.uniform(0.1, 0.5, slopes)
    dy = rng.standard_normal(x.shape)
    dx, dslope = ops.prelu_backward(x, slope, dy)

    def value() -> float:
        return float(np.sum(ops.prelu_forward(x, slope) * dy))

    check(value, x, dx)
    check(value, slope, dslope)
    in_place = dy.copy()
    _, again = ops.prelu_backward(x, slope, in_place, out=(in_place, np.empty(slopes)))
    np.testing.assert_array_equal(in_place, dx)
    np.testing.assert_array_equal(again, dslope)


def test_dense(ops: Any) -> None:
    rng = np.random.default_rng(3)
    x, weight, bias = rng.standard_normal((4, 6)), rng.standard_normal((6, 3)), rng.standard_normal(3)
    dy = rng.standard_normal((4, 3))
    dx, dweight, dbias = ops.dense_backward(x, weight, dy)

    def value() -> float:
        return float(np.sum(ops.dense_forward(x, weight, bias) * dy))

    check(value, x, dx)
    check(value, weight, dweight)
    check(value, bias, dbias)


LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "labels": lambda o, z, out: o.softmax_cross_entropy(z, np.array([0, 2, 1, 2]), out=out),
    "weights, smoothing, ignored": lambda o, z, out: o.softmax_cross_entropy(
        z,
        np.array([0, 9, 1, 2], np.uint8),
        class_weight=np.array([0.5, 2.0, 1.0]),
        sample_weight=np.array([1.0, 2.0, 0.25, 3.0]),
        label_smoothing=0.2,
        ignore_label=9,
        out=out,
    ),
    "axis 0": lambda o, z, out: o.softmax_cross_entropy(
        z, np.array([3, 0, 1]), axis=0, normalization="none", out=out
    ),
    "probabilities": lambda o, z, out: o.softmax_cross_entropy(
        z,
        np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]]),
        label_smoothing=0.1,
        normalization="full",
        out=out,
    ),
    "sigmoid": lambda o, z, out: o.sigmoid_cross_entropy(z, np.linspace(0, 1, 12).reshape(4, 3), out=out),
    "sigmoid, ignored": lambda o, z, out: o.sigmoid_cross_entropy(
        z, np.tile([0.0, 1.0, -1.0], (4, 1)), ignore_label=-1, normalization="valid", out=out
    ),
    "squared": lambda o, z, out: o.squared_error(
        z, np.ones((4, 3)), scale=0.5, sample_weight=np.array([1.0, 0.0, 2.0, 0.5]), out=out
    ),
    "squared, columns": lambda o, z, out: o.squared_error(
        z, np.arange(4.0), columns=np.array([2, 0, 1, 2]), normalization="none", out=out
    ),
    "huber": lambda o, z, out: o.huber(z, np.ones((4, 3)), delta=0.75, normalization="batch_size", out=out),
    "huber, columns": lambda o, z, out: o.huber(
        z,
        np.arange(4.0),
        columns=np.array([2, 0, 1, 2]),
        sample_weight=np.array([1.0, 0.0, 2.0, 0.5]),
        normalization="valid",
        out=out,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(ops: Any, name: str) -> None:
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((4, 3))
    _, gradient = LOSSES[name](ops, logits, None)
    check(lambda: LOSSES[name](ops, logits, None)[0], logits, gradient)
    in_place = logits.copy()
    loss, out = LOSSES[name](ops, in_place, in_place)
    assert out is in_place
    np.testing.assert_array_equal(in_place, gradient)
    assert loss == LOSSES[name](ops, logits, None)[0]
