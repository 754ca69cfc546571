"""The table of ReLU at its edges, cell by cell, for every target, dtype and length 1 to 67."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

INF = math.inf
# x, then y for slope 0, and dx for slope 0 as a function of dy.
POINTS = [3.5, INF, -2.25, -INF, 0.0, -0.0, math.nan]
GRADIENTS = [1.5, -2.0, INF, 0.0]
SLOPES = [0.01, 0.5, 1.0, -0.2]


def forward_slope_0(x: float) -> float:
    if math.isnan(x):
        return math.nan
    return x if x >= 0 else 0.0


def backward_slope_0(x: float, dy: float) -> float:
    return 0.0 if x <= 0 else dy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slope_0(ops: Any, dtype: Any) -> None:
    for length in range(1, 68):
        for shift in range(len(POINTS)):
            x = np.array([POINTS[(i + shift) % len(POINTS)] for i in range(length)], dtype)
            want = np.array([forward_slope_0(v) for v in x.tolist()], dtype)
            y = ops.relu_forward(x)
            np.testing.assert_array_equal(y, want)
            # Below 0 the result is +0; at -0 it is x itself.
            below = x < 0
            assert not np.signbit(y[below]).any()
            np.testing.assert_array_equal(np.signbit(y[x == 0]), np.signbit(x[x == 0]))
            dy = np.array([GRADIENTS[i % 4] for i in range(length)], dtype)
            dx = ops.relu_backward(x, dy)
            want = np.array(
                [backward_slope_0(a, b) for a, b in zip(x.tolist(), dy.tolist(), strict=True)], dtype
            )
            np.testing.assert_array_equal(dx, want)
            assert not np.signbit(dx[x <= 0]).any()


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_slopes(ops: Any, dtype: Any, slope: float) -> None:
    s = dtype(slope)
    with np.errstate(invalid="ignore"):
        for length in range(1, 68):
            x = np.array([POINTS[(i * 5 + length) % len(POINTS)] for i in range(length)], dtype)
            dy = np.array([GRADIENTS[(i * 3) % 4] for i in range(length)], dtype)
            want = np.array([v if v > 0 else v * s for v in x], dtype)
            y = ops.relu_forward(x, slope)
            np.testing.assert_array_equal(y, want)
            np.testing.assert_array_equal(np.signbit(y[x == 0]), np.signbit(want[x == 0]))
            want = np.array([g * s if v <= 0 else g for v, g in zip(x, dy, strict=True)], dtype)
            np.testing.assert_array_equal(ops.relu_backward(x, dy, slope), want)


@pytest.mark.parametrize("slope", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_gives_the_same_bits(ops: Any, dtype: Any, slope: float) -> None:
    rng = np.random.default_rng(0)
    for length in range(1, 68):
        x = rng.standard_normal(length).astype(dtype)
        dy = rng.standard_normal(length).astype(dtype)
        want_y, want_dx = ops.relu_forward(x, slope), ops.relu_backward(x, dy, slope)
        y = x.copy()
        assert ops.relu_forward(y, slope, out=y) is y
        np.testing.assert_array_equal(y, want_y)
        # Backward from the output: its sign is the input's.
        dx = dy.copy()
        ops.relu_backward(y, dx, slope, out=dx)
        np.testing.assert_array_equal(dx, want_dx)


def test_a_negative_slope_in_place_is_refused(ops: Any) -> None:
    x = np.array([1.0, -1.0])
    with pytest.raises(ValueError, match=r"negative_slope is -0\.2 and out is x"):
        ops.relu_forward(x, -0.2, out=x)
    np.testing.assert_array_equal(x, [1.0, -1.0])
