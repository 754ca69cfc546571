"""Products beside a ReLU: the fused forms equal the separate ops bit for bit, at every edge of blocks and kink."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers import _core

TARGETS = rl.build_info()["targets"]
DTYPES = [np.float32, np.float64]
SLOPES = [0.0, 0.01, 1.0, 2.5]
# Shapes (batch, in, out) at the edges: nothing, one of each, around the vector widths and their halves, around the
# blocks of 512 along k and 224 along the rows, and operands that are packed, or exchanged.
EDGES = [
    *[
        (0, 3, 2),
        (3, 0, 2),
        (3, 2, 0),
        (1, 1, 1),
        (1, 513, 1),
        (7, 513, 1),
        (1, 513, 70),
        (513, 1, 5),
        (5, 1, 513),
    ],
    *[(16, 31, 33), (17, 2, 30), (33, 30, 1), (40, 784, 10), (225, 40, 17), (513, 20, 3), (1, 700, 300)],
    *[(30, 520, 520), (24, 512, 513), (2, 40, 2100)],
    *[(10, 9, 20), (31, 100, 36), (19, 64, 100), (16, 300, 96), (24, 66, 130), (47, 230, 600), (8, 70, 256)],
]


def bits(array: Any) -> Any:
    """The bits of every entry but NaN, whose payload and sign no rule fixes."""
    words = array.view(f"u{array.itemsize}").copy()
    words[np.isnan(array)] = 0
    return words, np.isnan(array)


def assert_same_bits(found: Any, wanted: Any, message: str = "") -> None:
    for one, other in zip(bits(found), bits(wanted), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=message)


def with_edges(rng: Any, shape: tuple[int, ...], dtype: Any, *, specials: bool) -> Any:
    """Normal numbers; with `specials` also zeros of both signs, infinities and NaN."""
    made = rng.standard_normal(shape).astype(dtype)
    if specials and made.size:
        for value in (0.0, -0.0, np.inf, -np.inf, np.nan):
            made.flat[rng.integers(0, made.size, 1 + made.size // 50)] = value
    return made


@pytest.fixture(params=[f"{target}-{threads}" for target in TARGETS for threads in (1, 2, 3)])
def everywhere(request: pytest.FixtureRequest) -> Any:
    """Each target with one, two and three threads, between which even the smallest work is split."""
    target, threads = request.param.split("-")
    before = rl.target()
    rl.use_target(target)
    try:
        with rl.threads(int(threads)):
            _core.set_parallel_threshold(0.0)
            yield rl.ops
    finally:
        _core.set_parallel_threshold(-1.0)
        rl.use_target(before)


def check_forward(ops: Any, x: Any, weight: Any, bias: Any, slope: float) -> None:
    separate = ops.relu_forward(ops.dense_forward(x, weight, bias), slope)
    assert_same_bits(ops.dense_forward(x, weight, bias, negative_slope=slope), separate)


def check_backward(ops: Any, x: Any, weight: Any, dy: Any, slope: float) -> None:
    dx, dweight, dbias = ops.dense_backward(x, weight, dy)
    fused = ops.dense_backward(x, weight, dy, negative_slope=slope)
    assert_same_bits(fused[0], ops.relu_backward(x, dx, slope))
    assert_same_bits(fused[1], dweight)
    assert_same_bits(fused[2], dbias)


@pytest.mark.parametrize("specials", [False, True], ids=["finite", "specials"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_equals_separate_at_every_edge(everywhere: Any, dtype: Any, specials: bool) -> None:
    rng = np.random.default_rng(0)
    for i, (batch, inputs, outputs) in enumerate(EDGES):
        slope = SLOPES[i % len(SLOPES)]
        x = with_edges(rng, (batch, inputs), dtype, specials=specials)
        weight = with_edges(rng, (inputs, outputs), dtype, specials=False)
        bias = with_edges(rng, (outputs,), dtype, specials=specials)
        dy = with_edges(rng, (batch, outputs), dtype, specials=specials)
        with np.errstate(all="ignore"):
            check_forward(everywhere, x, weight, bias if i % 3 else None, slope)
            check_forward(everywhere, x, weight, bias, 0.0)
            check_backward(everywhere, x, weight, dy, slope)
            check_backward(everywhere, x, weight, dy, 0.0)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 40), st.one_of(st.integers(0, 40), st.just(513)), st.integers(0, 70)),
    layout=st.sampled_from(["C", "F", "strided"]),
    dtype=st.sampled_from(DTYPES),
    slope=st.sampled_from(SLOPES),
    target=st.sampled_from(TARGETS),
    threads=st.integers(1, 3),
    specials=st.booleans(),
)
def test_fused_equals_separate_for_any_shape_and_layout(
    shape: tuple[int, int, int],
    layout: str,
    dtype: Any,
    slope: float,
    target: str,
    threads: int,
    specials: bool,
) -> None:
    batch, inputs, outputs = shape
    rng = np.random.default_rng(batch * 10_000 + inputs * 100 + outputs)

    def laid_out(rows: int, columns: int) -> Any:
        made = with_edges(rng, (rows, 2 * columns), dtype, specials=specials)
        if layout == "strided":
            return made[:, ::2]
        return np.array(made[:, :columns], order="F" if layout == "F" else "C")

    x, weight, dy = laid_out(batch, inputs), laid_out(inputs, outputs), laid_out(batch, outputs)
    bias = with_edges(rng, (outputs,), dtype, specials=specials)
    before = rl.target()
    rl.use_target(target)
    try:
        with rl.threads(threads):
            _core.set_parallel_threshold(0.0)
            check_forward(rl.ops, x, weight, bias, slope)
            check_backward(rl.ops, x, weight, dy, slope)
    finally:
        _core.set_parallel_threshold(-1.0)
        rl.use_target(before)


def in_order(rows: Any) -> Any:
    """The sums of the columns, row after row from 0."""
    total = np.zeros(rows.shape[1], rows.dtype)
    for row in rows:
        total = total + row
    return total


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 40),
    inputs=st.integers(1, 40),
    outputs=st.sampled_from([1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 30, 33]),
    dtype=st.sampled_from(DTYPES),
    target=st.sampled_from(TARGETS),
    slope=st.sampled_from([None, *SLOPES]),
    gap=st.integers(0, 3),
    specials=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_small_layer_has_the_bits_of_its_products(
    batch: int,
    inputs: int,
    outputs: int,
    dtype: Any,
    target: str,
    slope: float | None,
    gap: int,
    specials: bool,
    seed: int,
) -> None:
    """A layer of few numbers is one kernel; matmul, the bias, the ReLU and the column sums are others."""
    rng = np.random.default_rng(seed)
    x = with_edges(rng, (batch, inputs + gap), dtype, specials=specials)[:, :inputs]
    weight = with_edges(rng, (inputs, outputs + gap), dtype, specials=specials)[:, :outputs]
    bias = with_edges(rng, (outputs,), dtype, specials=specials)
    dy = with_edges(rng, (batch, outputs + gap), dtype, specials=specials)[:, :outputs]
    before = rl.target()
    rl.use_target(target)
    try:
        with np.errstate(all="ignore"):
            y = rl.ops.matmul(x, weight) + bias
            dx = rl.ops.matmul(dy, weight, transpose_b=True)
            if slope is not None:
                y = rl.ops.relu_forward(y, slope)
                dx = rl.ops.relu_backward(x, dx, slope)
            wanted = (dx, rl.ops.matmul(x, dy, transpose_a=True), in_order(dy))
        assert_same_bits(rl.ops.dense_forward(x, weight, bias, negative_slope=slope), y)
        found = rl.ops.dense_backward(x, weight, dy, negative_slope=slope)
        for one, other, name in zip(found, wanted, ("dx", "dweight", "dbias"), strict=True):
            assert_same_bits(one, other, name)
        assert_same_bits(rl.ops.dense_backward(x, weight, dy, need_dx=False)[1], wanted[1], "dweight alone")
    finally:
        rl.use_target(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_results_do_not_depend_on_threads_or_target(dtype: Any) -> None:
    targets = [name for name in TARGETS if name != "baseline"]
    if not targets:
        pytest.skip("only the baseline target here, which has no fused multiply-add")
    rng = np.random.default_rng(3)
    before = rl.target()
    try:
        for batch, inputs, outputs in EDGES:
            x, weight, dy = (
                with_edges(rng, shape, dtype, specials=False)
                for shape in ((batch, inputs), (inputs, outputs), (batch, outputs))
            )
            bias = with_edges(rng, (outputs,), dtype, specials=False)
            wanted: list[Any] | None = None
            for target in targets:
                rl.use_target(target)
                for threads in (1, 2, 3):
                    with rl.threads(threads):
                        _core.set_parallel_threshold(0.0)
                        found = [
                            rl.ops.dense_forward(x, weight, bias, negative_slope=0.01),
                            *rl.ops.dense_backward(x, weight, dy, negative_slope=0.01),
                        ]
                    wanted = found if wanted is None else wanted
                    for one, other in zip(found, wanted, strict=True):
                        assert_same_bits(
                            one, other, f"{target}, {threads} threads, {x.shape} @ {weight.shape}"
                        )
    finally:
        _core.set_parallel_threshold(-1.0)
        rl.use_target(before)


def test_a_negative_slope_has_no_backward_from_the_output(native: Any) -> None:
    x, weight, dy = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4))
    with pytest.raises(ValueError, match=r"dense_backward: negative_slope is -0.1, expected >= 0"):
        native.dense_backward(x, weight, dy, negative_slope=-0.1)
    y = native.dense_forward(x, -weight, negative_slope=-0.1)
    np.testing.assert_array_equal(y, native.relu_forward(native.dense_forward(x, -weight), -0.1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("m", "k", "n", "stride"),
    [
        *[(128, 64, 256, 128), (131, 67, 258, 131), (300, 513, 129, 320), (784, 70, 256, 784)],
        *[(300, 8, 256, 320), (131, 8, 130, 131), (97, 12, 128, 97)],
        *[(129, 16, 260, 1024), (500, 1100, 257, 512), (1024, 32, 2100, 1024)],
    ],
)
def test_a_transposed_operand_has_the_bits_of_its_copy(
    everywhere: Any, dtype: Any, m: int, k: int, n: int, stride: int
) -> None:
    """Around the sizes from which it is packed, with rows on the same cache sets, and beyond one block of k."""
    rng = np.random.default_rng(m + k)
    memory = rng.standard_normal((k, stride)).astype(dtype)
    # Its last number is the last of its memory: nothing behind it is read.
    x = memory.ravel()[memory.size - (k - 1) * stride - m :]
    x = np.lib.stride_tricks.as_strided(x, (m, k), (x.itemsize, stride * x.itemsize))
    y = rng.standard_normal((k, n)).astype(dtype)
    for accumulate in (False, True):
        found, wanted = np.ones((2, m, n), dtype)
        rl.ops.matmul(x, y, accumulate=accumulate, out=found)
        rl.ops.matmul(np.ascontiguousarray(x), y, accumulate=accumulate, out=wanted)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [95, 96, 130, 512, 513, 1024, 1100])
def test_contiguous_columns_have_the_bits_of_their_copy(everywhere: Any, dtype: Any, k: int) -> None:
    """A gradient by x, whatever reads the weight: few rows, exchanged sides, panels. Nothing is written behind it."""
    rng = np.random.default_rng(k)
    for m in (4, 5, 8, 12, 16, 17, 20, 24, 33, 64, 91, 121, 241):
        for n in (63, 64, 75, 230):
            x = rng.standard_normal((m, k)).astype(dtype)
            columns = rng.standard_normal((n, k)).astype(dtype)
            for accumulate in (False, True):
                found, wanted = np.ones((2, m * n + 32), dtype)
                for b, out in ((columns.T, found), (np.ascontiguousarray(columns.T), wanted)):
                    rl.ops.matmul(x, b, accumulate=accumulate, out=out[: m * n].reshape(m, n))
                assert (found[m * n :] == 1).all()
                np.testing.assert_array_equal(found, wanted, err_msg=f"{m} x {k} @ {k} x {n}")


@pytest.mark.parametrize("n", [2, 3, 5, 8, 13, 20, 33])
@pytest.mark.parametrize("k", [16, 29, 40])
def test_one_row_against_contiguous_columns_is_folded_from_lanes(everywhere: Any, k: int, n: int) -> None:
    """Decision 0007: eight float64 lanes, each a chain of fused multiply-adds, folded lane j with lane j + half."""
    if rl.target() == "baseline":
        pytest.skip("has no fused multiply-add")
    rng = np.random.default_rng(k + n)
    a, columns = rng.standard_normal(k), rng.standard_normal((n, k))
    expected = []
    for column in columns:
        lanes = [0.0] * 8
        for i in range(k):  # a Fraction becomes a float with one rounding
            lanes[i % 8] = float(Fraction(a[i]) * Fraction(column[i]) + Fraction(lanes[i % 8]))
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [lanes[j] + lanes[j + half] for j in range(half)]
        expected.append(lanes[0])
    np.testing.assert_array_equal(rl.ops.matmul(a[None], columns.T)[0], expected)
