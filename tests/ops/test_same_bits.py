"""The same bits: on every target with fused multiply-add, for every number of threads, alone and in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import _core

DTYPES = [np.float32, np.float64]
FMA_TARGETS = [name for name in rl.build_info()["targets"] if name != "baseline"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_for_every_target_and_number_of_threads(dtype: Any) -> None:
    if not FMA_TARGETS:
        pytest.skip("only the baseline target here, which has no fused multiply-add")
    before = rl.target()

    def everything() -> list[Any]:
        results: list[Any] = []
        made = np.random.default_rng(8)
        for _ in range(10):
            m, n, k = (int(v) for v in made.integers(1, 80, 3))
            k += 600 * int(made.integers(0, 2))
            x, w, b = (made.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (n,)))
            dy = made.standard_normal((m, n)).astype(dtype)
            y = rl.ops.dense_forward(x, w, b)
            results += [
                y,
                *rl.ops.dense_backward(x, w, dy),
                rl.ops.softmax_forward(y),
                rl.ops.softmax_forward(y, 0),
            ]
            results += [rl.ops.tanh_forward(y), rl.ops.elu_forward(y), rl.ops.sigmoid_forward(y)]
            for form in ("none", "tanh"):
                results += [rl.ops.gelu_forward(y, form), rl.ops.gelu_backward(y, dy, form)]
            results += [rl.ops.silu_forward(y), rl.ops.silu_backward(y, dy)]
            results += [rl.ops.selu_forward(y), rl.ops.selu_backward(y, dy)]
            results += [rl.ops.softplus_forward(y), rl.ops.softplus_backward(y, dy)]
            results += [rl.ops.clip_forward(y, -0.5, 0.5), rl.ops.clip_backward(y, dy, -0.5, 0.5)]
            labels = made.integers(0, n, m)
            for loss, gradient in (
                rl.ops.softmax_cross_entropy(y, labels),
                rl.ops.softmax_cross_entropy(y, labels, label_smoothing=0.1),
                rl.ops.sigmoid_cross_entropy(y, dy),
                rl.ops.squared_error(y, dy),
                rl.ops.huber(y, dy),
                rl.ops.huber(y, dy[:, 0], columns=labels),
            ):
                results += [np.float64(loss), gradient]
            results += [np.float64(rl.ops.sum_of_squares(x)), *rl.ops.prelu_backward(y, b, dy)]
            results += [rl.ops.prelu_backward(y, b[:1], dy)[1]]
        return results

    try:
        wanted: list[Any] | None = None
        for target in FMA_TARGETS:
            rl.use_target(target)
            for threads in (1, 2, 3, 7):
                with rl.threads(threads):
                    _core.set_parallel_threshold(0.0)
                    found = everything()
                if wanted is None:
                    wanted = found
                for one, other in zip(found, wanted, strict=True):
                    np.testing.assert_array_equal(one, other, err_msg=f"{target}, {threads} threads")
    finally:
        _core.set_parallel_threshold(-1.0)
        rl.use_target(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_alone_equals_the_row_in_a_batch(native: Any, dtype: Any) -> None:
    rng = np.random.default_rng(9)
    for inputs, outputs in [(2, 30), (64, 10), (600, 40), (33, 1)]:
        x = rng.standard_normal((37, inputs)).astype(dtype)
        weight, bias = (
            rng.standard_normal((inputs, outputs)).astype(dtype),
            rng.standard_normal(outputs).astype(dtype),
        )
        batch = native.softmax_forward(native.tanh_forward(native.dense_forward(x, weight, bias)))
        for i in (0, 5, 36):
            row = native.softmax_forward(
                native.tanh_forward(native.dense_forward(x[i : i + 1], weight, bias))
            )
            np.testing.assert_array_equal(row[0], batch[i])
