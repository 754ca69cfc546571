"""Sums over millions of numbers keep their digits: 1e-6 of the result in float32, whatever the length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import _core

LONG = 10_000_000
CLOSE = 1e-6


def relative(found: Any, expected: Any) -> float:
    """The largest error, by the largest number of the result."""
    expected = np.asarray(expected, np.float64)
    return float(np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).random(LONG, dtype=np.float32)


@pytest.fixture(scope="module")
def softmax(x: Any) -> Any:
    e = np.exp(x.astype(np.float64))
    return e / e.sum()


def test_softmax(x: Any, softmax: Any) -> None:
    y = rl.ops.softmax_forward(x)
    assert relative(y, softmax) < CLOSE
    # The gradient of the sum of squares: both of its sums are long.
    want = softmax * (softmax - np.square(softmax).sum())
    assert relative(rl.ops.softmax_backward(y, y), want) < 3 * CLOSE


def test_log_softmax(x: Any, softmax: Any) -> None:
    y = rl.ops.log_softmax_forward(x)
    assert relative(y, np.log(softmax)) < CLOSE
    # The backward pass works from y, of which float32 keeps 7 digits.
    want = x - np.exp(y.astype(np.float64)) * math.fsum(x.tolist())
    assert relative(rl.ops.log_softmax_backward(y, x), want) < CLOSE


def test_equal_logits_are_counted_beyond_the_digits_of_a_float32() -> None:
    """Each is a maximum: 2**24 of them and some more, counted one by one, would stop at 2**24."""
    n = 2**24 * 16 // 8 + 77
    y = rl.ops.softmax_forward(np.zeros(n, np.float32))
    assert relative(y, 1 / n) < CLOSE


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_labels(x: Any, softmax: Any, smoothing: float) -> None:
    label = 123_457
    loss, dx = rl.ops.softmax_cross_entropy(x[None], np.array([label]), label_smoothing=smoothing)
    target = np.full(LONG, smoothing / LONG)
    target[label] += 1 - smoothing
    assert relative(loss, -(target * np.log(softmax)).sum()) < CLOSE
    want = softmax - target
    assert relative(dx[0], want) < CLOSE
    others = np.arange(LONG) != label
    assert relative(dx[0][others], want[others]) < 2 * CLOSE


def test_cross_entropy_of_probabilities(x: Any, softmax: Any) -> None:
    target = np.random.default_rng(1).random(LONG, dtype=np.float32) * np.float32(2 / LONG)
    loss, dx = rl.ops.softmax_cross_entropy(x[None], target[None])
    exact = target.astype(np.float64)
    assert relative(loss, -(exact * np.log(softmax)).sum()) < CLOSE
    assert relative(dx[0], softmax * exact.sum() - exact) < 2 * CLOSE


@pytest.fixture
def as_before() -> Iterator[None]:
    threads, target = rl.get_num_threads(), rl.target()
    _core.set_parallel_threshold(0.0)
    yield
    _core.set_parallel_threshold(-1.0)
    rl.set_num_threads(threads)
    rl.use_target(target)


def all_of(x: Any, dy: Any, probabilities: Any, labels: Any, axis: int) -> list[Any]:
    y, z = rl.ops.softmax_forward(x, axis), rl.ops.log_softmax_forward(x, axis)
    return [
        y,
        z,
        rl.ops.softmax_backward(y, dy, axis),
        rl.ops.log_softmax_backward(z, dy, axis),
        *rl.ops.softmax_cross_entropy(x, labels, axis=axis),
        *rl.ops.softmax_cross_entropy(x, labels, axis=axis, label_smoothing=0.25),
        *rl.ops.softmax_cross_entropy(x, probabilities, axis=axis),
    ]


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("n", [1024, 1025, 2048, 4111, 100_003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_side_by_side_have_the_bits_of_a_row_alone(dtype: Any, n: int) -> None:
    """On every target, with any number of threads, at the ends of the blocks that sums are cut into."""
    rng = np.random.default_rng(2)
    x, dy, probabilities = (rng.standard_normal((3, n)).astype(dtype) for _ in range(3))
    x[1, n // 2] = x[1].max()
    labels = np.array([n - 1, 0, n // 2])
    for targets in (["baseline"], [name for name in _core.targets() if name != "baseline"]):
        found = set()
        for target in targets:
            rl.use_target(target)
            for threads in (1, 3):
                rl.set_num_threads(threads)
                alone = all_of(x, dy, probabilities, labels, 1)
                apart = [np.ascontiguousarray(one.T) for one in (x, dy, probabilities)]
                side_by_side = [np.transpose(one) for one in all_of(*apart, labels, 0)]
                for results in (alone, side_by_side):
                    found.add(b"".join(np.ascontiguousarray(result).tobytes() for result in results))
        assert len(found) <= 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_bias_gradient_of_a_huge_batch(x: Any, order: Any) -> None:
    dy = np.asarray(x.reshape(-1, 2), order=order)
    _, _, dbias = rl.ops.dense_backward(np.zeros((len(dy), 1), np.float32), np.zeros((1, 2), np.float32), dy)
    want = [math.fsum(dy[:, j].tolist()) for j in range(2)]
    assert relative(dbias, want) < CLOSE


@pytest.mark.parametrize("shape", [(1, LONG), (LONG, 1), (LONG // 4, 4)])
def test_slope_gradient_of_a_huge_batch(x: Any, shape: tuple[int, int]) -> None:
    negative = -x.reshape(shape)
    dy = np.ones(shape, np.float32)
    for slopes in {1, shape[1] if shape[1] < 5 else 1}:
        _, dslope = rl.ops.prelu_backward(negative, np.full(slopes, 0.1, np.float32), dy, need_dx=False)
        columns = negative.reshape(-1, slopes).T if slopes > 1 else negative.reshape(1, -1)
        assert relative(dslope, [math.fsum(column.tolist()) for column in columns]) < CLOSE


def test_losses_and_norms(x: Any) -> None:
    exact = x.astype(np.float64)
    loss, _ = rl.ops.squared_error(x, np.zeros_like(x), normalization="none")
    assert relative(loss, np.square(exact).sum()) < CLOSE
    loss, _ = rl.ops.sigmoid_cross_entropy(x, np.ones_like(x), normalization="none")
    assert relative(loss, np.log1p(np.exp(-exact)).sum()) < CLOSE
    assert relative(_core.sum_of_squares(x), np.square(exact).sum()) < 1e-12
    weights = np.full(len(x), np.float32(0.1))
    loss, _ = rl.ops.squared_error(x, np.zeros_like(x), sample_weight=weights, normalization="valid")
    assert relative(loss, np.square(exact).mean()) < CLOSE
