"""Where this package differs from Caffe on purpose: what Caffe gave, and what comes here instead, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(__file__).parent.parent / "data" / "caffe"
DTYPES = {"f32": np.float32, "f64": np.float64}
SLOPES = ["0", "0.01", "0.5", "1", "-0.2"]


def load(name: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(DATA / f"{name}.npz") as file:
        return dict(file)


RELU = load("relu")
PRODUCT = load("inner_product")


def special_grid(slope: str, dtype: str) -> tuple[Any, Any, float, Any, Any]:
    """Inputs x and dy, the slope as Caffe holds it, and Caffe's y and dx."""
    name = "relu__special_grid__"
    x, dy = (RELU[name + what].astype(DTYPES[dtype]) for what in ("x", "dy"))
    result = f"{name}slope{slope}__{dtype}__outplace__"
    return x, dy, float(np.float32(slope)), RELU[result + "y"], RELU[result + "dx"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", SLOPES)
def test_relu_differs_from_caffe_in_these_cells_and_no_other(ops: Any, slope: str, dtype: str) -> None:
    x, dy, number, caffe_y, caffe_dx = special_grid(slope, dtype)
    y, dx = ops.relu_forward(x, number), ops.relu_backward(x, dy, number)

    # Forward: Caffe's 0 * -inf is NaN; a select gives 0.
    deviates = (x == -np.inf) & (number == 0)
    assert np.isnan(caffe_y[deviates]).all()
    np.testing.assert_array_equal(y[deviates], 0.0)
    np.testing.assert_array_equal(y[~deviates], caffe_y[~deviates])

    # Backward, unit off with slope 0: Caffe's dy * 0 is NaN where dy is not finite; a select gives 0.
    off = (x <= 0) & ~np.isfinite(dy) & (number == 0)
    assert np.isnan(caffe_dx[off]).all()
    np.testing.assert_array_equal(dx[off], 0.0)
    # Backward at NaN: both of Caffe's comparisons fail, so it gives 0 * dy; here dy passes, with every slope.
    lost = np.isnan(x)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(caffe_dx[lost], 0 * dy[lost])
        np.testing.assert_array_equal(dx[lost], dy[lost])
    np.testing.assert_array_equal(dx[~(off | lost)], caffe_dx[~(off | lost)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", SLOPES)
def test_in_place_agrees_with_caffe_where_caffe_is_right_and_is_refused_where_it_is_wrong(
    ops: Any, slope: str, dtype: str
) -> None:
    x, dy, number, _, outplace = special_grid(slope, dtype)
    inplace = RELU[f"relu__special_grid__slope{slope}__{dtype}__inplace__dx"]
    y = x.copy()
    finite = np.isfinite(x) & np.isfinite(dy)
    if number >= 0:
        ops.relu_forward(y, number, out=y)
        np.testing.assert_array_equal(ops.relu_backward(y, dy, number)[finite], inplace[finite])
        return
    # A negative slope turns x < 0 into y > 0, so Caffe's gradient in place is dy where it should be slope * dy.
    wrong = finite & (inplace != outplace)
    assert wrong.any()
    assert (x[wrong] < 0).all()
    np.testing.assert_array_equal(inplace[wrong], dy[wrong])
    with pytest.raises(ValueError, match="negative_slope"):
        ops.relu_forward(y, number, out=y)
    np.testing.assert_array_equal(y, x)


TWICE = [key.removesuffix("__x") for key in PRODUCT if key.endswith("__x")]
TWICE = [case for case in TWICE if f"{case}__f64__dW_after_2_backwards" in PRODUCT]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", TWICE)
def test_gradients_are_overwritten_where_caffe_adds_up_those_of_parameters(
    ops: Any, case: str, dtype: str
) -> None:
    x, dy = (PRODUCT[f"{case}__{what}"].astype(DTYPES[dtype]) for what in ("x", "dy"))
    weight = np.ascontiguousarray(PRODUCT[f"{case}__W"].astype(DTYPES[dtype]).T)
    out = (np.empty_like(x), np.empty_like(weight), np.empty(weight.shape[1], weight.dtype))
    once = [array.copy() for array in ops.dense_backward(x, weight, dy, out=out)]
    for first, second in zip(once, ops.dense_backward(x, weight, dy, out=out), strict=True):
        np.testing.assert_array_equal(second, first)
    # A sum of `batch` products loses at most eps * batch * sum of magnitudes, on either side.
    slack = 4 * float(np.finfo(DTYPES[dtype]).eps) * len(x) * float((np.abs(x).T @ np.abs(dy)).max())
    caffe = PRODUCT[f"{case}__{dtype}__dW_after_2_backwards"]
    np.testing.assert_allclose(2 * out[1].T, caffe, rtol=0, atol=slack)


def test_a_label_out_of_range_is_an_error_even_where_caffe_would_read_past_the_row(ops: Any) -> None:
    for label in (-1, 5, 255):
        with pytest.raises(IndexError, match=rf"labels\[1\] is {label}"):
            ops.softmax_cross_entropy(np.zeros((3, 5)), np.array([0, label, 999]))
