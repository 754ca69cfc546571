"""Native ops against the reference: layouts, shapes, options, special values.

Tolerances: an elementwise function of a few operations differs by some units of rounding (8 eps of the largest
value); a sum of k products by at most eps * k * the sum of magnitudes, here bounded by its largest entry. One file,
because every op shares these layouts and tolerances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relu_layers as rl

REFERENCE = rl.ops.reference
DTYPES = [np.float32, np.float64]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (17,), (3, 5), (0, 4), (2, 3, 4), (33, 67), (5, 1)]


def laid_out(array: Any, layout: str) -> Any:
    """The same numbers in another layout in memory."""
    if layout == "fortran":
        return np.array(array, order="F")
    if layout == "rows" and array.ndim:
        wide = np.full((*array.shape[:-1], array.shape[-1] + 3), np.nan, array.dtype)
        wide[..., : array.shape[-1]] = array
        return wide[..., : array.shape[-1]]
    if layout == "reversed" and array.ndim:
        return array[::-1].copy()[::-1]
    if layout == "misaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)
        view = raw[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    if layout == "read-only":
        frozen = array.copy()
        frozen.flags.writeable = False
        return frozen
    return array


LAYOUTS = ["plain", "fortran", "rows", "reversed", "misaligned", "read-only"]

UNARY = {
    "relu_forward": lambda o, x: o.relu_forward(x, 0.1),
    "threshold_forward": lambda o, x: o.threshold_forward(x, 0.5, -2.0),
    "elu_forward": lambda o, x: o.elu_forward(x, 1.3),
    "sigmoid_forward": lambda o, x: o.sigmoid_forward(x),
    "silu_forward": lambda o, x: o.silu_forward(x),
    "gelu_forward": lambda o, x: o.gelu_forward(x),
    "gelu_forward, tanh": lambda o, x: o.gelu_forward(x, "tanh"),
    "selu_forward": lambda o, x: o.selu_forward(x),
    "softplus_forward": lambda o, x: o.softplus_forward(x),
    "clip_forward": lambda o, x: o.clip_forward(x, -0.5, 0.75),
    "tanh_forward": lambda o, x: o.tanh_forward(x),
    "dropout_forward": lambda o, x: o.dropout_forward(x, 0.3, key=2**63 + 5, counter=2**40),
}
BINARY = {
    "relu_backward": lambda o, x, d: o.relu_backward(x, d, 0.1),
    "threshold_backward": lambda o, x, d: o.threshold_backward(x, d, 0.5),
    "elu_backward": lambda o, x, d: o.elu_backward(x, d, 1.3),
    "sigmoid_backward": lambda o, x, d: o.sigmoid_backward(x, d),
    "silu_backward": lambda o, x, d: o.silu_backward(x, d),
    "gelu_backward": lambda o, x, d: o.gelu_backward(x, d),
    "gelu_backward, tanh": lambda o, x, d: o.gelu_backward(x, d, "tanh"),
    "selu_backward": lambda o, x, d: o.selu_backward(x, d),
    "softplus_backward": lambda o, x, d: o.softplus_backward(x, d),
    "clip_backward": lambda o, x, d: o.clip_backward(x, d, -0.5, 0.75),
    "tanh_backward": lambda o, x, d: o.tanh_backward(x, d),
}


def close(found: Any, wanted: Any, eps_times: float = 8.0) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    eps = np.finfo(wanted.dtype).eps
    largest = np.nanmax(np.abs(wanted), initial=0.0, where=np.isfinite(wanted))
    np.testing.assert_allclose(found, wanted, rtol=eps_times * eps, atol=eps_times * eps * largest)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise(native: Any, dtype: Any, layout: str) -> None:
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = laid_out(np.asarray(3 * rng.standard_normal(shape), dtype), layout)
        dy = laid_out(np.asarray(rng.standard_normal(shape), dtype), LAYOUTS[(LAYOUTS.index(layout) + 1) % 6])
        for unary in UNARY.values():
            close(unary(native, x), unary(REFERENCE, x))
        for binary in BINARY.values():
            close(binary(native, x, dy), binary(REFERENCE, x, dy))


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise_at_special_values(native: Any, dtype: Any) -> None:
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 88.0, -88.0, 750.0, -750.0]
    special += [float(info.tiny), -float(info.tiny), float(info.max), float(info.min), 1e-10, -1e-10]
    x = np.resize(np.array(special, dtype), 3 * len(special))
    for unary in UNARY.values():
        close(unary(native, x), unary(REFERENCE, x))
    dy = np.resize(np.array([1.0, -2.0, 0.0, 0.25, -0.0], dtype), x.shape)
    for name, binary in BINARY.items():
        close(binary(native, x, dy), binary(REFERENCE, x, dy), 8 if name.startswith("relu") else 16)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_prelu(native: Any, dtype: Any, layout: str) -> None:
    rng = np.random.default_rng(10)
    for shape in [(4,), (3, 5), (0, 4), (2, 3, 7), (33, 67), (600, 2)]:
        for slopes in (1, shape[-1]):
            x = laid_out(rng.standard_normal(shape).astype(dtype), layout)
            dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
            slope = rng.uniform(-0.5, 0.5, slopes).astype(dtype)
            close(native.prelu_forward(x, slope), REFERENCE.prelu_forward(x, slope))
            dx, dslope = native.prelu_backward(x, slope, dy)
            wanted_dx, wanted_dslope = REFERENCE.prelu_backward(x, slope, dy)
            close(dx, wanted_dx)
            # Each slope's sum, with the exponent of its largest possible partial sum.
            magnitude = float(np.abs(x * dy).sum())
            assert dslope.dtype == wanted_dslope.dtype
            np.testing.assert_allclose(
                dslope,
                wanted_dslope,
                rtol=0,
                atol=4 * float(np.finfo(dtype).eps) * (1 + x.size) ** 0.5 * magnitude,
            )


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy_on_other_axes_and_with_probabilities(native: Any, dtype: Any) -> None:
    rng = np.random.default_rng(11)
    for shape, axis in [((3, 5, 4), 1), ((6, 9), 0), ((2, 3, 7), -1), ((2, 10, 3, 3), 1), ((5,), 0)]:
        logits = (4 * rng.standard_normal(shape)).astype(dtype)
        classes = shape[axis]
        positions = tuple(np.delete(shape, axis))
        class_weight = rng.uniform(0.1, 2, classes).astype(dtype)
        probabilities = np.moveaxis(rng.dirichlet(np.ones(classes), positions).astype(dtype), -1, axis)
        labels = np.asarray(rng.integers(0, classes, positions))
        calls: list[tuple[Any, dict[str, Any]]] = [
            (labels, {}),
            (labels, {"class_weight": class_weight, "label_smoothing": 0.2, "ignore_label": 0}),
            (probabilities, {}),
            (probabilities, {"class_weight": class_weight, "label_smoothing": 0.2}),
        ]
        if axis != 0:
            calls.append((probabilities, {"sample_weight": rng.uniform(0, 2, shape[0]).astype(dtype)}))
        for target, option in calls:
            for normalization in ("valid", "full", "batch_size", "none"):
                option = {**option, "axis": axis, "normalization": normalization}
                found, gradient = native.softmax_cross_entropy(logits, target, **option)
                wanted, expected = REFERENCE.softmax_cross_entropy(logits, target, **option)
                assert found == pytest.approx(wanted, rel=64 * float(np.finfo(dtype).eps))
                close(gradient, expected, 64 + classes)  # sums over the classes


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax(native: Any, dtype: Any, layout: str) -> None:
    rng = np.random.default_rng(1)
    for shape, axis in [
        ((5, 10), -1),
        ((5, 10), 0),
        ((2, 7, 3), 1),
        ((40, 2), 1),
        ((3, 100), 1),
        ((0, 4), 1),
        ((4, 1), 1),
    ]:
        x = laid_out((5 * rng.standard_normal(shape)).astype(dtype), layout)
        dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
        for name in ("softmax", "log_softmax"):
            y = getattr(REFERENCE, f"{name}_forward")(x, axis)
            close(getattr(native, f"{name}_forward")(x, axis), y, 32)
            backward = getattr(native, f"{name}_backward")(laid_out(y, layout), dy, axis)
            close(backward, getattr(REFERENCE, f"{name}_backward")(y, dy, axis), 4 * shape[axis] + 32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_rows_that_are_not_finite(native: Any, dtype: Any) -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[1, 2, 3], [nan, 1, 2], [inf, 0, 0], [-inf] * 3, [-inf, 0, 1], [0, nan, inf]], dtype)
    for rows in (x, np.repeat(x, 9, axis=1)):
        y = native.softmax_forward(rows)
        np.testing.assert_array_equal(np.isnan(y).all(axis=1), [False, True, True, True, False, True])
        np.testing.assert_array_equal(np.isnan(y).any(axis=1), [False, True, True, True, False, True])
        assert y[4, 0] == 0.0
        close(y, REFERENCE.softmax_forward(rows), 32)
        close(native.log_softmax_forward(rows), REFERENCE.log_softmax_forward(rows), 32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loss_keeps_its_digits_near_0(native: Any, dtype: Any) -> None:
    for margin in (5.0, 20.0, 40.0, 80.0):
        logits = np.array([[margin, 0.0]], dtype)
        loss, _ = native.softmax_cross_entropy(logits, np.array([0]))
        assert loss == pytest.approx(np.log1p(np.exp(-margin)), rel=1e-6 if dtype == np.float32 else 1e-14)
        value = float(native.log_softmax_forward(logits)[0, 0])
        assert -value == pytest.approx(np.log1p(np.exp(-margin)), rel=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", ["valid", "full", "batch_size", "none"])
def test_losses(native: Any, dtype: Any, normalization: str) -> None:
    rng = np.random.default_rng(2)
    for batch, classes in [(1, 1), (3, 2), (64, 10), (300, 7), (2, 1000)]:
        logits = (4 * rng.standard_normal((batch, classes))).astype(dtype)
        labels = rng.integers(0, classes, batch)
        if classes > 1:
            labels[rng.random(batch) < 0.2] = 1
        options: list[dict[str, Any]] = [
            {},
            {"ignore_label": 1},
            {"class_weight": rng.uniform(0.1, 2, classes).astype(dtype)},
            {"sample_weight": rng.uniform(0, 2, batch).astype(dtype), "label_smoothing": 0.1},
        ]
        for option in options:
            for kind in (np.int8 if classes < 128 else np.int16, np.int64, np.uint32):
                found, gradient = native.softmax_cross_entropy(
                    logits, labels.astype(kind), normalization=normalization, **option
                )
                wanted, expected = REFERENCE.softmax_cross_entropy(
                    logits, labels, normalization=normalization, **option
                )
                assert found == pytest.approx(wanted, rel=64 * float(np.finfo(dtype).eps))
                close(gradient, expected, 64 + classes)  # sums over the classes
        targets = rng.random((batch, classes)).astype(dtype)
        weight = rng.uniform(0, 2, batch).astype(dtype)
        for name, extra in [
            ("sigmoid_cross_entropy", {}),
            ("squared_error", {"scale": 0.5}),
            ("huber", {"delta": 0.8}),
        ]:
            for sample_weight in (None, weight):
                arguments = {"sample_weight": sample_weight, "normalization": normalization, **extra}
                found, gradient = getattr(native, name)(logits, targets, **arguments)
                wanted, expected = getattr(REFERENCE, name)(logits, targets, **arguments)
                assert found == pytest.approx(wanted, rel=64 * float(np.finfo(dtype).eps))
                close(gradient, expected, 16)
        columns = rng.integers(0, classes, batch)
        for name, extra in [("squared_error", {"scale": 0.5}), ("huber", {"delta": 0.8})]:
            for kind in (np.int8 if classes < 128 else np.int16, np.int64, np.uint32):
                arguments = {"sample_weight": weight, "normalization": normalization, **extra}
                given = logits, targets[:, 0]
                found, gradient = getattr(native, name)(*given, columns=columns.astype(kind), **arguments)
                wanted, expected = getattr(REFERENCE, name)(*given, columns=columns, **arguments)
                assert found == pytest.approx(wanted, rel=64 * float(np.finfo(dtype).eps))
                close(gradient, expected, 16)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    m=st.integers(0, 40),
    n=st.integers(0, 70),
    k=st.integers(0, 30) | st.integers(500, 530),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS)),
    transposes=st.tuples(st.booleans(), st.booleans()),
    double=st.booleans(),
)
def test_matmul(native: Any, m: int, n: int, k: int, layouts: Any, transposes: Any, double: bool) -> None:
    rng = np.random.default_rng(m + 100 * n)
    dtype = np.float64 if double else np.float32
    a = rng.standard_normal((k, m) if transposes[0] else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if transposes[1] else (k, n)).astype(dtype)
    options = {"transpose_a": transposes[0], "transpose_b": transposes[1]}
    wanted = REFERENCE.matmul(a, b, **options)
    found = native.matmul(laid_out(a, layouts[0]), laid_out(b, layouts[1]), **options)
    close(found, wanted, 4 * k + 8)
    total = rng.standard_normal((m, n)).astype(dtype)
    close(native.matmul(a, b, accumulate=True, out=total.copy(), **options), total + wanted, 4 * k + 8)


def test_matmul_stacks_and_broadcasts(native: Any) -> None:
    rng = np.random.default_rng(3)
    for left, right in [
        ((5, 2, 3), (3, 4)),
        ((2, 1, 3, 4), (3, 4, 5)),
        ((2, 3), (6, 3, 2)),
        ((0, 2, 3), (3, 2)),
    ]:
        a, b = rng.standard_normal(left), rng.standard_normal(right)
        close(native.matmul(a, b), np.matmul(a, b), 40)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dense(native: Any, dtype: Any, layout: str) -> None:
    rng = np.random.default_rng(4)
    for batch, inputs, outputs in [
        (1, 2, 30),
        (4, 30, 1),
        (64, 100, 10),
        (0, 3, 4),
        (3, 0, 2),
        (700, 5, 3),
        (9, 600, 33),
    ]:
        x = laid_out(rng.standard_normal((batch, inputs)).astype(dtype), layout)
        weight = laid_out(rng.standard_normal((inputs, outputs)).astype(dtype), layout)
        bias = rng.standard_normal(outputs).astype(dtype)
        dy = laid_out(rng.standard_normal((batch, outputs)).astype(dtype), layout)
        close(native.dense_forward(x, weight, bias), REFERENCE.dense_forward(x, weight, bias), 4 * inputs + 8)
        found = native.dense_backward(x, weight, dy)
        for array, wanted in zip(found, REFERENCE.dense_backward(x, weight, dy), strict=True):
            close(array, wanted, 4 * max(batch, outputs) + 8)


STATES = {"sgd": 1, "adagrad": 1, "rmsprop": 1, "adadelta": 2, "adam": 2, "adamw": 2}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_updates(native: Any, dtype: Any, name: str) -> None:
    rng = np.random.default_rng(5)
    options: dict[str, Any] = {"learning_rate": 0.05, "weight_decay": 0.01, "grad_scale": 0.25}
    variants: list[dict[str, Any]] = [{}, {"weight_decay": 0.0}]
    if name != "adamw":
        variants.append({"regularization": "l1"})
    if name == "sgd":
        variants += [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}]
    if name.startswith("adam"):
        options["step"] = 3
        variants.append({"epsilon_hat": True})
    for variant in variants:
        for n in (0, 1, 15, 16, 1000, 9000):
            param, grad = rng.standard_normal(n).astype(dtype), rng.standard_normal(n).astype(dtype)
            state = [np.abs(rng.standard_normal(n)).astype(dtype) for _ in range(STATES[name])]
            mine, theirs = [param.copy(), *map(np.copy, state)], [param.copy(), *map(np.copy, state)]
            getattr(native, f"{name}_update")(mine[0], grad, *mine[1:], **{**options, **variant})
            getattr(REFERENCE, f"{name}_update")(theirs[0], grad, *theirs[1:], **{**options, **variant})
            for found, wanted in zip(mine, theirs, strict=True):
                close(found, wanted)


def test_helpers_of_training(native: Any) -> None:
    rng = np.random.default_rng(6)
    for dtype in DTYPES:
        for n in (0, 1, 7, 5000):
            x = rng.standard_normal(n).astype(dtype)
            assert native.sum_of_squares(x) == pytest.approx(
                float(np.sum(x.astype(np.float64) ** 2)), rel=1e-13
            )
            total = np.ones(n, dtype)
            native.accumulate(total, x)
            np.testing.assert_array_equal(total, 1 + x)
            for weights in (None, rng.random(5).astype(dtype), np.zeros(5, dtype)):
                mine, theirs = x[::-1].copy(), x[::-1].copy()
                options = {"strength": 0.3, "rows": 5, "sample_weight": weights}
                value = native.l2_penalty(x, mine, **options)
                assert value == pytest.approx(REFERENCE.l2_penalty(x, theirs, **options), rel=1e-6)
                np.testing.assert_allclose(mine, theirs, rtol=1e-6)
            logits = rng.choice([-2.0, -0.0, 0.0, 0.5, np.inf, np.nan], n).astype(dtype)
            targets = rng.choice([0.0, 0.5, 0.75, 1.0], n).astype(dtype)
            wanted = REFERENCE.count_agreeing(logits, targets)
            assert native.count_agreeing(logits, targets) == wanted
            assert native.count_agreeing(np.repeat(logits, 2)[::2], targets[::-1][::-1]) == wanted
    assert native.count_agreeing(np.array([1.0, -1.0, 0.0, np.nan]), np.array([1.0, 0.0, 1.0, 1.0])) == 2
    with pytest.raises(ValueError, match=r"count_agreeing: targets has shape \(2,\), expected \(3,\)"):
        native.count_agreeing(np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="count_agreeing: targets has dtype float32"):
        native.count_agreeing(np.ones(3), np.ones(3, np.float32))
    x = np.array([[1.0, -1.0, 0.0, np.nan], [-1.0, -2.0, 0.0, -1.0]])
    active = np.zeros(4, np.uint8)
    assert native.mark_active(x, active) == 3
    np.testing.assert_array_equal(active, [1, 0, 0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 33, 70])
@pytest.mark.parametrize("columns", [1, 4, 9, 40])
def test_units_are_marked_in_whichever_row_they_are_active(
    native: Any, rows: int, columns: int, dtype: Any
) -> None:
    """Few units left or many, active early, late or never: what a loop over all numbers finds."""
    rng = np.random.default_rng(rows * 100 + columns)
    for share in (0.0, 0.02, 0.3, 0.9):
        x = np.where(rng.random((rows, columns)) < share, 1.0, rng.choice([0.0, -0.0, -1.0, np.nan])).astype(
            dtype
        )
        for before in (0.0, 0.5, 0.8, 1.0):
            active = (rng.random(columns) < before).astype(np.uint8)
            expected = [bool(active[j]) or any(x[i, j] > 0 for i in range(rows)) for j in range(columns)]
            assert native.mark_active(x, active) == expected.count(False)
            np.testing.assert_array_equal(active, expected)
