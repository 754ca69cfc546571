"""Every op that Caffe has, against the numbers of a real Caffe build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(__file__).parent.parent / "data" / "caffe"
DTYPES = {"f32": np.float32, "f64": np.float64}
TOLERANCE = {"f32": {"rtol": 1e-5, "atol": 1e-6}, "f64": {"rtol": 1e-12, "atol": 1e-14}}


def arrays(name: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(DATA / f"{name}.npz") as file:
        return dict(file)


RELU = arrays("relu")
PRODUCT = arrays("inner_product")
SOFTMAX = arrays("softmax")
LOSS = arrays("softmax_loss")
EUCLIDEAN = arrays("euclidean_loss")


def cases(data: dict[str, Any], last: str) -> list[str]:
    return [key.removesuffix(f"__{last}") for key in data if key.endswith(f"__{last}")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", ["0", "0.01", "0.5", "1", "-0.2"])
@pytest.mark.parametrize("case", cases(RELU, "x"))
def test_relu_equals_caffe_on_every_finite_input(ops: Any, case: str, slope: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    x, dy = RELU[f"{case}__x"].astype(kind), RELU[f"{case}__dy"].astype(kind)
    expected = f"{case}__slope{slope}__{dtype}__outplace"
    number = float(np.float32(slope))
    finite = np.isfinite(x)
    y = ops.relu_forward(x, number)
    np.testing.assert_array_equal(y[finite], RELU[f"{expected}__y"][finite])
    dx = ops.relu_backward(x, dy, number)
    both = finite & np.isfinite(dy)
    np.testing.assert_array_equal(dx[both], RELU[f"{expected}__dx"][both])
    # Deliberate: -inf with slope 0 gives 0 where Caffe's product gives NaN; NaN stays NaN in both.
    if number == 0.0:
        assert np.all(y[x == -np.inf] == 0.0)
    assert np.all(np.isnan(y[np.isnan(x)]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", cases(PRODUCT, "x"))
def test_inner_product(ops: Any, case: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    axis = int(re.search(r"axis(-?\d+)", case)[1])
    x = PRODUCT[f"{case}__x"].astype(kind)
    weight = PRODUCT[f"{case}__W"].astype(kind)
    transposed = "transpose1" in case
    weight = np.ascontiguousarray(weight if transposed else weight.T)
    dy = PRODUCT[f"{case}__dy"].astype(kind).reshape(-1, weight.shape[1])
    bias = PRODUCT[f"{case}__b"].astype(kind) if "bias1" in case else None
    axis %= x.ndim
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
    close = TOLERANCE[dtype]

    def expected(what: str) -> Any:
        return PRODUCT[f"{case}__{dtype}__{what}"]

    # One element of a product of k terms may lose eps * k of the sum of |terms|.
    slack = np.finfo(kind).eps * rows.shape[1] * 8
    y = ops.dense_forward(rows, weight, bias)
    np.testing.assert_allclose(
        y, expected("y").reshape(y.shape), rtol=close["rtol"], atol=max(slack, close["atol"])
    )
    dx, dweight, dbias = ops.dense_backward(rows, weight, dy)
    np.testing.assert_allclose(
        dx, expected("dx").reshape(dx.shape), rtol=close["rtol"], atol=max(slack, close["atol"])
    )
    dw = expected("dW")
    slack = np.finfo(kind).eps * rows.shape[0] * 8
    np.testing.assert_allclose(
        dweight, dw if transposed else dw.T, rtol=close["rtol"], atol=max(slack, close["atol"])
    )
    if bias is not None:
        np.testing.assert_allclose(dbias, expected("db"), rtol=close["rtol"], atol=max(slack, close["atol"]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", cases(SOFTMAX, "x"))
def test_softmax(ops: Any, case: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    axis = int(re.search(r"axis(-?\d+)", case)[1])
    x, dy = SOFTMAX[f"{case}__x"].astype(kind), SOFTMAX[f"{case}__dy"].astype(kind)
    expected = SOFTMAX[f"{case}__{dtype}__y"]
    y = ops.softmax_forward(x, axis)
    # A row with NaN or +inf, or of -inf only, is NaN as a whole here.
    bad = ~np.isfinite(np.max(x, axis=axis, keepdims=True)) & np.ones(x.shape, bool)
    assert np.all(np.isnan(y[bad]))
    np.testing.assert_allclose(y[~bad], expected[~bad], **TOLERANCE[dtype])
    if not bad.any():
        dx = ops.softmax_backward(expected, dy, axis)
        np.testing.assert_allclose(dx, SOFTMAX[f"{case}__{dtype}__dx"], **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", cases(LOSS, "label"))
def test_softmax_loss(ops: Any, case: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    axis = int(re.search(r"axis(-?\d+)", case)[1])
    ignore = re.search(r"ignore(None|-?\d+)", case)[1]
    normalization = re.search(r"norm(FULL|VALID|BATCH_SIZE|NONE|default)", case)[1].lower()
    weight = float(np.float32(re.search(r"lw([\d.]+)$", case)[1]))
    logits = LOSS[f"{case}__x"].astype(kind)
    labels = LOSS[f"{case}__label"].astype(np.int64)
    shape = list(logits.shape)
    del shape[axis % logits.ndim]
    loss, dlogits = ops.softmax_cross_entropy(
        logits,
        labels.reshape(shape),
        axis=axis,
        ignore_label=None if ignore == "None" else int(ignore),
        normalization="valid" if normalization == "default" else normalization,
    )
    expected_loss = float(LOSS[f"{case}__{dtype}__loss"])
    expected = LOSS[f"{case}__{dtype}__dx"]
    if "nonfinite" in case:
        # Rows that are not finite as a whole are NaN here; the others agree.
        bad = ~np.isfinite(np.max(logits, axis=axis, keepdims=True)) & np.ones(logits.shape, bool)
        np.testing.assert_allclose(weight * dlogits[~bad], expected[~bad], **TOLERANCE[dtype])
        assert np.isnan(loss)
        return
    np.testing.assert_allclose(weight * dlogits, expected, **TOLERANCE[dtype])
    if "clamp_edge" in case or "huge" in case:
        # Caffe clamps the probability at FLT_MIN, so no row's loss exceeds 87.34; the true loss may.
        wide = logits.astype(np.longdouble)
        wide = np.moveaxis(wide, axis, -1).reshape(-1, logits.shape[axis])
        top = wide.max(axis=1)
        log_sum = np.log1p(np.exp(np.sort(wide - top[:, None], axis=1)[:, :-1]).sum(axis=1))
        true = float(np.mean(log_sum + top - wide[np.arange(len(wide)), labels.reshape(-1)]))
        assert loss == pytest.approx(true, rel=2e-6 if dtype == "f32" else 1e-14)
        assert expected_loss <= loss * (1 + 1e-5)
        return
    np.testing.assert_allclose(loss, expected_loss, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", cases(EUCLIDEAN, "a"))
def test_euclidean_loss(ops: Any, case: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    weight = float(np.float32(re.search(r"lw([\d.]+)$", case)[1]))
    a, b = EUCLIDEAN[f"{case}__a"].astype(kind), EUCLIDEAN[f"{case}__b"].astype(kind)
    loss, da = ops.squared_error(a, b, scale=0.5, normalization="batch_size")
    np.testing.assert_allclose(loss, float(EUCLIDEAN[f"{case}__{dtype}__loss"]), **TOLERANCE[dtype])
    np.testing.assert_allclose(weight * da, EUCLIDEAN[f"{case}__{dtype}__da"], **TOLERANCE[dtype])
    np.testing.assert_allclose(-weight * da, EUCLIDEAN[f"{case}__{dtype}__db"], **TOLERANCE[dtype])
