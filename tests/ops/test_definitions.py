"""Parts of the ops' definitions that random numbers do not show: blocks, tails, kinks, thresholds met exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

LENGTH = 67  # four vectors of 16 and a tail of 3
Op = Callable[..., Any]


def normal(seed: int, dtype: Any, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


ELEMENTWISE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "relu_forward": lambda ops, x, dy: ops.relu_forward(x, 0.3),
    "relu_backward": lambda ops, x, dy: ops.relu_backward(x, dy, 0.3),
    "elu_forward": lambda ops, x, dy: ops.elu_forward(x, 0.7),
    "elu_backward": lambda ops, x, dy: ops.elu_backward(x, dy, 0.7),
    "sigmoid_forward": lambda ops, x, dy: ops.sigmoid_forward(x),
    "sigmoid_backward": lambda ops, x, dy: ops.sigmoid_backward(x, dy),
    "silu_forward": lambda ops, x, dy: ops.silu_forward(x),
    "silu_backward": lambda ops, x, dy: ops.silu_backward(x, dy),
    "gelu_forward": lambda ops, x, dy: ops.gelu_forward(x),
    "gelu_backward": lambda ops, x, dy: ops.gelu_backward(x, dy, "tanh"),
    "selu_forward": lambda ops, x, dy: ops.selu_forward(x),
    "selu_backward": lambda ops, x, dy: ops.selu_backward(x, dy),
    "softplus_forward": lambda ops, x, dy: ops.softplus_forward(x),
    "softplus_backward": lambda ops, x, dy: ops.softplus_backward(x, dy),
    "clip_forward": lambda ops, x, dy: ops.clip_forward(x, -0.5, 0.75),
    "clip_backward": lambda ops, x, dy: ops.clip_backward(x, dy, -0.5, 0.75),
    "tanh_forward": lambda ops, x, dy: ops.tanh_forward(x),
    "tanh_backward": lambda ops, x, dy: ops.tanh_backward(x, dy),
    "dropout_forward": lambda ops, x, dy: ops.dropout_forward(x, 0.4, key=5, counter=6),
    "squared_error": lambda ops, x, dy: ops.squared_error(x, dy, normalization="none")[1],
    "huber": lambda ops, x, dy: ops.huber(x, dy, delta=0.7, normalization="none")[1],
    "sigmoid_cross_entropy": lambda ops, x, dy: ops.sigmoid_cross_entropy(x, dy, normalization="none")[1],
}
COMMON = {"weight_decay": 0.01, "grad_scale": 0.7, "learning_rate": 0.3}
UPDATES: dict[str, tuple[int, dict[str, Any]]] = {
    "sgd": (1, {"momentum": 0.9, "nesterov": False}),
    "sgd nesterov": (1, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (1, {}),
    "rmsprop": (1, {"rho": 0.9}),
    "adadelta": (2, {"rho": 0.9}),
    "adam": (2, {"step": 3}),
    "adamw": (2, {"step": 3}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_element_is_the_same_in_a_vector_and_in_a_tail(native: Any, name: str, dtype: Any) -> None:
    op = ELEMENTWISE[name]
    x, dy = normal(1, dtype, LENGTH), normal(2, dtype, LENGTH)
    whole = op(native, x, dy)
    for length in range(1, LENGTH):
        assert op(native, x[:length], dy[:length]).tobytes() == whole[:length].tobytes(), length


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_an_update_is_the_same_in_a_vector_and_in_a_tail(native: Any, name: str, dtype: Any) -> None:
    states, options = UPDATES[name]
    update = getattr(native, f"{name.split()[0]}_update")

    def updated(length: int) -> list[Any]:
        arrays = [normal(seed, dtype, LENGTH)[:length].copy() for seed in (1, 2)]
        arrays += [np.abs(normal(seed, dtype, LENGTH))[:length].copy() for seed in range(3, 3 + states)]
        update(*arrays, **COMMON, **options)
        return arrays

    whole = updated(LENGTH)
    for length in range(1, LENGTH):
        for ours, all_of_them in zip(updated(length), whole, strict=True):
            assert ours.tobytes() == all_of_them[:length].tobytes(), length


@pytest.mark.parametrize("rows", [2, 3, 8, 40])
@pytest.mark.parametrize("columns", [1, 5, 64, 300])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_products_add_up_blocks_of_512(native: Any, rows: int, columns: int, layout: str) -> None:
    """2^24 + 1 is 2^24 in float32: ones get lost in the chain of the first block, and in no other.

    1535 ones follow: 511 in the first block, 512 and 512 in two blocks of their own.
    """
    a = np.ones((rows, 1536), np.float32)
    a[:, 0] = 2.0**24
    b = np.ones((1536, columns), np.float32)
    if layout == "columns":
        b = np.asfortranarray(b)
    assert (native.matmul(a, b) == 2.0**24 + 1024).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kink_of_elu_has_the_gradient_alpha(ops: Any, dtype: Any) -> None:
    y = np.zeros(LENGTH, dtype)
    y[::2] = -0.0
    dy = normal(3, dtype, LENGTH)
    for alpha in (0.0, 0.5, 2.0):
        np.testing.assert_array_equal(ops.elu_backward(y, dy, alpha), dy * dtype(alpha))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silu_at_its_edges(ops: Any, dtype: Any) -> None:
    """Cell by cell: x, y, dy/dx. From Python's own numbers where the formula can be evaluated, limits elsewhere."""
    points = [
        (np.inf, np.inf, 1.0),
        (np.finfo(dtype).max, np.finfo(dtype).max, 1.0),
        (0.0, 0.0, 0.5),
        (-0.0, -0.0, 0.5),
        (1.0, 1 / (1 + math.exp(-1)), 0.9276705118714866),
        (-1.2784645427610738, -0.27846454276107380, 0.0),  # the minimum
        (-20.0, -20 / (1 + math.exp(20)), -19 * math.exp(-20)),
        (np.finfo(dtype).min, -0.0, -0.0),
        (-np.inf, -0.0, -0.0),
        (np.nan, np.nan, np.nan),
    ]
    eps = np.finfo(dtype).eps
    for length in (*range(1, 20), LENGTH):
        cells = np.array([points[i % len(points)] for i in range(length)])
        x, y, slope = (cells[:, i].astype(dtype) for i in range(3))
        found = ops.silu_forward(x)
        np.testing.assert_allclose(found, y, rtol=8 * eps)
        np.testing.assert_array_equal(np.signbit(found[x <= 0]), np.signbit(y[x <= 0]))
        dx = ops.silu_backward(x, np.full(length, 2, dtype))
        np.testing.assert_allclose(dx, 2 * slope, rtol=32 * eps, atol=4 * eps)
    with pytest.raises(ValueError, match="out"):
        ops.silu_forward(x, out=x)


def gelu(x: float, form: str) -> tuple[float, float]:
    """y and dy/dx, from Python's own erfc or tanh."""
    if form == "none":
        distribution, density = (
            math.erfc(-x / math.sqrt(2)) / 2,
            math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
        )
        return x * distribution, distribution + x * density
    c = math.sqrt(2 / math.pi)
    t = math.tanh(c * (x + 0.044715 * x**3))
    return x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t * t) / 2 * c * (1 + 3 * 0.044715 * x * x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["none", "tanh"])
def test_gelu_at_its_edges(form: str, ops: Any, dtype: Any) -> None:
    """Cell by cell, as SiLU: y is -0 at -inf, and dy/dx 0."""
    largest = float(np.finfo(dtype).max)
    points = [(x, *gelu(x, form)) for x in (1.0, -1.0, 2.5, -2.5, 0.125, -0.75, 5.0)]
    points += [
        (np.inf, np.inf, 1.0),
        (largest, largest, 1.0),
        (40.0, 40.0, 1.0),
        (0.0, 0.0, 0.5),
        (-0.0, -0.0, 0.5),
        (-40.0, -0.0, 0.0),
        (-largest, -0.0, 0.0),
        (-np.inf, -0.0, 0.0),
        (np.nan, np.nan, np.nan),
    ]
    eps = np.finfo(dtype).eps
    for length in (*range(1, 20), LENGTH):
        cells = np.array([points[i % len(points)] for i in range(length)])
        x, y, slope = (cells[:, i].astype(dtype) for i in range(3))
        found = ops.gelu_forward(x, form)
        np.testing.assert_allclose(found, y, rtol=8 * eps, atol=8 * eps)
        np.testing.assert_array_equal(np.signbit(found[x <= 0]), np.signbit(y[x <= 0]))
        dx = ops.gelu_backward(x, np.full(length, 2, dtype), form)
        np.testing.assert_allclose(dx, 2 * slope, rtol=16 * eps, atol=16 * eps)
    with pytest.raises(ValueError, match="out"):
        ops.gelu_forward(x, form, out=x)
    with pytest.raises(ValueError, match="approximate"):
        ops.gelu_forward(x, "erf")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_keeps_its_digits_in_the_tail(native: Any, dtype: Any) -> None:
    """Far below 0, where 1 + erf is 0, against erfc in the float64 of the same x: to 4 units of the last place.

    Without FMA, and in erfc's own argument x / sqrt(2), a rounding is worth x^2 units.
    """
    x = np.linspace(-0.5, -12.0, 300).astype(dtype)
    wanted = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.astype(float)])
    argument = float(np.max(x**2)) * np.finfo(np.float64).eps
    np.testing.assert_allclose(native.gelu_forward(x), wanted, rtol=4 * float(np.finfo(dtype).eps) + argument)


SELU_S, SELU_SA = 1.0507009873554804934, 1.0507009873554804934 * 1.6732632423543772848
EDGES: dict[str, tuple[Any, Any, list[tuple[float, float, float]]]] = {
    # x, y, dy/dx
    "selu": (
        lambda ops, x: ops.selu_forward(x),
        lambda ops, y, dy: ops.selu_backward(y, dy),
        [(np.inf, np.inf, SELU_S), (2.0, 2 * SELU_S, SELU_S), (0.0, 0.0, SELU_SA), (-0.0, -0.0, SELU_SA),
         (-1e-6, SELU_SA * math.expm1(-1e-6), SELU_SA * math.exp(-1e-6)),
         (-1.0, SELU_SA * math.expm1(-1), SELU_SA * math.exp(-1)),
         (-np.inf, -SELU_SA, 0.0), (np.nan, np.nan, np.nan)],
    ),
    "softplus": (
        lambda ops, x: ops.softplus_forward(x),
        lambda ops, y, dy: ops.softplus_backward(y, dy),
        [(np.inf, np.inf, 1.0), (1e4, 1e4, 1.0), (1.0, math.log1p(math.e), 1 / (1 + math.exp(-1))),
         (0.0, math.log(2), 0.5), (-0.0, math.log(2), 0.5), (-30.0, math.log1p(math.exp(-30)), 1 / (1 + math.exp(30))),
         (-1e4, 0.0, 0.0),
         (-np.inf, 0.0, 0.0), (np.nan, np.nan, np.nan)],
    ),
    "clip": (
        lambda ops, x: ops.clip_forward(x, -0.5, 2.0),
        lambda ops, y, dy: ops.clip_backward(y, dy, -0.5, 2.0),
        [(np.inf, 2.0, 0.0), (2.5, 2.0, 0.0), (2.0, 2.0, 0.0), (1.0, 1.0, 1.0), (-0.0, -0.0, 1.0), (-0.5, -0.5, 0.0),
         (-7.0, -0.5, 0.0), (-np.inf, -0.5, 0.0), (np.nan, np.nan, 1.0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EDGES)
def test_activations_at_their_edges(name: str, ops: Any, dtype: Any) -> None:
    """Cell by cell, from Python's own numbers or limits; in place too."""
    forward, backward, points = EDGES[name]
    eps = np.finfo(dtype).eps
    for length in (*range(1, 20), LENGTH):
        cells = np.array([points[i % len(points)] for i in range(length)])
        x, y, slope = (cells[:, i].astype(dtype) for i in range(3))
        found = forward(ops, x)
        np.testing.assert_allclose(found, y, rtol=8 * eps)
        np.testing.assert_array_equal(np.signbit(found[x == 0]), np.signbit(y[x == 0]))
        dx = backward(ops, found, np.full(length, 2, dtype))
        np.testing.assert_allclose(dx, 2 * slope, rtol=8 * eps, atol=4 * eps)


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0)])
def test_clip_wants_its_limits_in_order(ops: Any, limits: tuple[float, float]) -> None:
    x = np.ones(3)
    for call in (lambda: ops.clip_forward(x, *limits), lambda: ops.clip_backward(x, x, *limits)):
        with pytest.raises(ValueError, match="expected minimum < maximum"):
            call()


def mask_word(ops: Any, element: int) -> int:
    """Return the number that decides on an element, found by asking which rates leave it."""
    x = np.ones(element + 1, np.float32)
    low, high = 0, 2**32 - 1  # kept at `low`, dropped from some rate up to `high` on
    while high - low > 1:
        middle = (low + high) // 2
        kept = ops.dropout_forward(x, middle / 2**32, key=11, counter=12)[element] != 0
        low, high = (middle, high) if kept else (low, middle)
    return low


def test_dropout_keeps_what_meets_the_threshold(native: Any) -> None:
    """At the rate of its own word an element is kept, one unit further it is not: as the specification says."""
    for element in (0, 3, 16, 40):
        word = mask_word(rl.ops.reference, element)
        x = np.ones(LENGTH, np.float32)
        for threshold, kept in ((word, True), (word + 1, False)):
            for ops in (rl.ops.reference, native):
                y = ops.dropout_forward(x, threshold / 2**32, key=11, counter=12)
                assert (y[element] != 0) == kept
