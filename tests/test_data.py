"""Small data sets, minibatches, the split."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from relu_layers.data import Minibatches, train_validation_split, two_moons, xor


def test_xor() -> None:
    x, y = xor()
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((4, 2), (4, 1), np.int64, np.int64)
    assert (x[:, :1] ^ x[:, 1:]).tolist() == y.tolist()
    x[:] = 9
    assert xor()[0].max() == 1


def test_two_moons_are_two_half_circles() -> None:
    x, y = two_moons(101, 0.0, rng=3)
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((101, 2), (101,), np.float64, np.int64)
    assert np.bincount(y).tolist() == [51, 50]
    centred = x - np.where(y[:, None] == 0, [0.0, 0.0], [1.0, 0.5])
    np.testing.assert_allclose(np.hypot(*centred.T), 1.0, rtol=1e-14)
    assert (centred[y == 0, 1] >= 0).all()
    assert (centred[y == 1, 1] <= 0).all()
    np.testing.assert_array_equal(
        two_moons(9, 0.1, rng=1)[0], two_moons(9, 0.1, rng=np.random.default_rng(1))[0]
    )
    spread = two_moons(4000, 0.3, rng=1)[0] - two_moons(4000, 0.0, rng=1)[0]
    assert spread.std() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    ("n", "noise", "error"), [(0, 0.1, ValueError), (2.0, 0.1, TypeError), (5, -0.1, ValueError)]
)
def test_two_moons_refuses(n: Any, noise: Any, error: Any) -> None:
    with pytest.raises(error, match="two_moons: "):
        two_moons(n, noise)


def test_minibatches_in_order_are_views() -> None:
    x, y = np.arange(14.0).reshape(7, 2), np.arange(7)
    parts = list(Minibatches(x, y, batch_size=3))
    assert [labels.tolist() for _, labels in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(np.shares_memory(rows, x) for rows, _ in parts)
    assert len(Minibatches(x, batch_size=3)) == 3
    assert len(list(Minibatches(x, batch_size=100))) == 1


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_shuffled_minibatches_share_one_buffer(layout: str) -> None:
    x = np.arange(2000.0).reshape(500, 4)
    x = {"C": x, "F": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=1)[:, ::2]}[layout]
    batches = Minibatches(x, np.arange(500), batch_size=64, shuffle=True, rng=0)
    orders = []
    for _ in range(2):
        seen: list[int] = []
        places = set()
        for rows, numbers in batches:
            np.testing.assert_array_equal(rows, x[numbers])
            seen += numbers.tolist()
            places.add(rows.ctypes.data)
        assert len(places) == 1
        assert sorted(seen) == list(range(500))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_gathering_allocates_no_array() -> None:
    x, y = np.ones((5000, 64)), np.arange(5000)
    passes = iter(Minibatches(x, y, batch_size=512, shuffle=True, rng=0))
    next(passes)
    domain = np.lib.tracemalloc_domain
    tracemalloc.start()
    try:
        for _ in range(6):
            next(passes)
        traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, domain)]).traces
        assert not list(traces)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ((), {}, ValueError, "at least one array"),
        ((np.zeros(3), np.zeros(4)), {}, ValueError, "3, 4 rows"),
        ((np.zeros(()),), {}, ValueError, "first axis"),
        ((np.zeros(3),), {"batch_size": 0}, ValueError, "batch_size is 0"),
        ((np.zeros(3),), {"shuffle": "yes"}, TypeError, "shuffle is 'yes'"),
    ],
)
def test_minibatches_refuses(arrays: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Minibatches(*arrays, **{"batch_size": 2, **options})


def test_split_takes_every_row_once() -> None:
    x, y = np.arange(50).reshape(25, 2), np.arange(25)
    (x_train, y_train), (x_held, y_held) = train_validation_split(x, y, fraction=0.2, rng=0)
    assert (len(x_train), len(x_held)) == (20, 5)
    assert sorted([*y_train, *y_held]) == list(range(25))
    np.testing.assert_array_equal(x_train, x[y_train])
    np.testing.assert_array_equal(x_held, x[y_held])
    again = train_validation_split(x, y, fraction=0.2, rng=0)
    np.testing.assert_array_equal(again[1][1], y_held)
    assert len(train_validation_split([1, 2], fraction=0.01)[1][0]) == 1
    assert len(train_validation_split([1, 2], fraction=0.99)[0][0]) == 1


@pytest.mark.parametrize(
    ("arrays", "fraction", "message"),
    [
        (([1, 2, 3],), 0.0, "fraction is 0.0"),
        (([1, 2, 3],), 1.0, "fraction is 1.0"),
        (([1, 2, 3], [1, 2]), 0.5, "equal numbers of rows"),
        (([1],), 0.5, "1 rows, expected at least 2"),
        ((), 0.5, "equal numbers of rows"),
        ((3,), 0.5, "equal numbers of rows"),
    ],
)
def test_split_refuses(arrays: Any, fraction: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_validation_split(*arrays, fraction=fraction)
