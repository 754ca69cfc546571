"""Whether all numbers are finite: every size, place, element type and target, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import _core
from relu_layers._support.arrays import all_finite


@pytest.fixture(params=rl.build_info()["targets"])
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = rl.target()
    rl.use_target(request.param)
    yield request.param
    rl.use_target(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_number_anywhere_is_found(target: str, dtype: Any) -> None:
    largest = np.finfo(dtype).max
    for size in (0, 1, 3, 17, 64, 130, 1025, 5000):
        x = np.full(size, largest, dtype=dtype)
        x[::2] = -largest
        assert _core.all_finite(x)
        for place in {0, size // 3, size // 2, size - 1} if size else set():
            for wrong in (np.nan, np.inf, -np.inf):
                kept, x[place] = x[place], wrong
                assert not _core.all_finite(x)
                x[place] = kept
        assert _core.all_finite(x)


def test_a_large_array_is_looked_at_by_threads() -> None:
    x = np.zeros((700, 1000), dtype=np.float32)
    before = rl.get_num_threads()
    for threads in (1, 2, 3):
        rl.set_num_threads(threads)
        assert _core.all_finite(x)
        x[650, 7] = np.inf
        assert not _core.all_finite(x)
        x[650, 7] = 0
    rl.set_num_threads(before)


def test_other_floats_and_other_orders() -> None:
    x = np.zeros((6, 8), dtype=np.float32)
    with pytest.raises(ValueError, match="ascontiguousarray"):
        _core.all_finite(x[:, ::2])
    for array in (x, x[:, ::2], x.T, x.astype(np.float16), x.astype(np.longdouble)):
        assert all_finite(array)
        array[3, 2] = np.nan
        assert not all_finite(array)
        array[3, 2] = 0


@pytest.mark.parametrize("order", ["C", "F", "sliced"])
def test_fit_names_the_first_number_that_is_not_finite(order: str) -> None:
    x = np.zeros((20, 4), dtype=np.float32)
    x[7, 2], x[9, 0] = np.inf, np.nan
    if order == "F":
        x = np.asfortranarray(x)
    elif order == "sliced":
        x = np.repeat(x, 2, axis=0)[::2]
    trainer = rl.Trainer(rl.mlp([4, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    with pytest.raises(ValueError, match=r"x\[7, 2\] is inf, expected finite numbers"):
        trainer.fit(x, np.zeros(20, int))
