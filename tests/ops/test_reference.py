"""The reference ops against facts from elsewhere: published vectors and closed forms.

What the native ops owe is agreement with the reference (test_agreement.py); what the reference owes is here and,
against PyTorch, in test_reference_torch.py.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from relu_layers.ops import reference
from relu_layers.ops.reference.dropout import philox4x32

DTYPES = [np.float32, np.float64]
EPS = float(np.finfo(np.float64).eps)


def words(*values: int) -> tuple[Any, ...]:
    return tuple(np.array([value], np.uint64) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # Known answers of the Random123 distribution for philox4x32, 10 rounds.
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter: Any, key: Any, expected: Any) -> None:
    assert tuple(int(word[0]) for word in philox4x32(words(*counter), key)) == expected


def philox_word(index: int, key: int, counter: int) -> int:
    """Word of one element by the paper's recurrence, in Python's integers."""
    c = [index // 4 % 2**32, index // 4 >> 32, counter % 2**32, counter >> 32]
    k = [key % 2**32, key >> 32]
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[index % 4]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.9])
def test_dropout_takes_the_words_in_the_documented_order(rate: float, dtype: Any) -> None:
    key, counter = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    x = np.arange(1, 24, dtype=dtype).reshape(1, 23)
    kept = np.array([philox_word(i, key, counter) >= math.floor(rate * 2**32) for i in range(23)])
    expected = np.where(kept, x * dtype(1 / (1 - rate)), dtype(0))
    np.testing.assert_array_equal(reference.dropout_forward(x, rate, key=key, counter=counter), expected)
    np.testing.assert_array_equal(reference.dropout_backward(x, rate, key=key, counter=counter), expected)


def test_dropout_drops_at_the_rate_and_keeps_the_mean() -> None:
    ones = np.ones(40_000)
    y = reference.dropout_forward(ones, 0.3, key=5, counter=0)
    # A binomial count: five standard deviations.
    assert abs(np.count_nonzero(y == 0) - 12_000) < 5 * math.sqrt(40_000 * 0.3 * 0.7)
    assert np.any(y != reference.dropout_forward(ones, 0.3, key=5, counter=1))
    assert np.any(y != reference.dropout_forward(ones, 0.3, key=6, counter=0))


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan])
def test_dropout_refuses_a_rate_outside_its_range(rate: float) -> None:
    with pytest.raises(ValueError, match="dropout_forward: rate is"):
        reference.dropout_forward(np.ones(3), rate, key=0, counter=0)


@pytest.mark.parametrize("margin", [1.0, 10.0, 50.0, 300.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_log_softmax_and_loss_keep_relative_accuracy_near_0(margin: float, dtype: Any) -> None:
    small = math.log1p(math.exp(-margin))
    tolerance = 4 * float(np.finfo(dtype).eps)
    if small < np.finfo(dtype).tiny:
        tolerance = 1.0  # below the smallest normal number digits run out
    x = np.array([[margin, 0.0], [0.0, margin]], dtype)
    assert -float(reference.log_softmax_forward(x)[0, 0]) == pytest.approx(small, rel=tolerance)
    loss, _ = reference.softmax_cross_entropy(x, np.array([0, 1]))
    assert loss == pytest.approx(small, rel=tolerance)
    for logit, target in ((margin, 1.0), (-margin, 0.0)):
        loss, _ = reference.sigmoid_cross_entropy(np.array([logit], dtype), np.array([target], dtype))
        assert loss == pytest.approx(small, rel=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_are_not_clamped(dtype: Any) -> None:
    loss, _ = reference.softmax_cross_entropy(np.array([[0.0, 9e3]], dtype), np.array([0]))
    assert loss == 9e3
    loss, _ = reference.sigmoid_cross_entropy(np.array([-9e3], dtype), np.array([1.0], dtype))
    assert loss == 9e3


def test_softmax_of_rows_without_one_is_nan_and_spares_the_others() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[0.0, nan], [inf, 0.0], [-inf, -inf], [-inf, 3.0], [0.0, 0.0]])
    np.testing.assert_array_equal(
        reference.softmax_forward(x), [[nan, nan], [nan, nan], [nan, nan], [0.0, 1.0], [0.5, 0.5]]
    )
    y = reference.log_softmax_forward(x)
    assert np.isnan(y[:3]).all()
    np.testing.assert_allclose(y[3:], [[-inf, 0.0], [-math.log(2), -math.log(2)]], rtol=2 * EPS)


def test_an_impossible_class_without_target_costs_nothing() -> None:
    logits = np.array([[0.0, -np.inf, 0.0]])
    loss, gradient = reference.softmax_cross_entropy(logits, np.array([[0.5, 0.0, 0.5]]))
    assert loss == pytest.approx(math.log(2), rel=2 * EPS)
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))
    assert reference.softmax_cross_entropy(logits, np.array([1]))[0] == math.inf


@pytest.mark.parametrize(
    ("normalization", "n"), [("valid", 4.0), ("full", 6.0), ("batch_size", 2.0), ("none", 1.0)]
)
def test_normalizers_count_what_they_say(normalization: str, n: float) -> None:
    logits = np.zeros((2, 5, 3))
    labels = np.array([[0, 7, 2], [7, 4, 1]])
    loss, gradient = reference.softmax_cross_entropy(
        logits, labels, axis=1, ignore_label=7, normalization=normalization
    )
    assert loss == pytest.approx(4 * math.log(5) / n, rel=4 * EPS)
    np.testing.assert_array_equal(gradient[0, :, 1], np.zeros(5))
    np.testing.assert_allclose(gradient[0, :, 0], (0.2 - np.eye(5)[0]) / n, rtol=4 * EPS)


@pytest.mark.parametrize("normalization", ["valid", "full", "batch_size", "none"])
def test_everything_ignored_is_0(normalization: str) -> None:
    logits = np.array([[1.0, np.nan], [2.0, 3.0]])
    loss, gradient = reference.softmax_cross_entropy(
        logits, np.array([9, 9]), ignore_label=9, normalization=normalization
    )
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_weights_that_sum_to_0_give_0_and_small_ones_are_not_raised_to_1() -> None:
    logits = np.array([[0.0, 0.0], [0.0, 0.0]])
    labels = np.array([0, 1])
    loss, gradient = reference.softmax_cross_entropy(logits, labels, sample_weight=np.zeros(2))
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))
    loss, _ = reference.softmax_cross_entropy(logits, labels, sample_weight=np.full(2, 1e-3))
    assert loss == pytest.approx(math.log(2), rel=4 * EPS)


def test_no_rows_have_no_mean() -> None:
    empty = np.zeros((0, 3))
    for call in (
        lambda norm: reference.softmax_cross_entropy(empty, np.zeros(0, int), normalization=norm),
        lambda norm: reference.sigmoid_cross_entropy(empty, empty, normalization=norm),
        lambda norm: reference.squared_error(empty, empty, normalization=norm),
    ):
        for normalization in ("valid", "full", "batch_size"):
            with pytest.raises(ValueError, match="no rows"):
                call(normalization)
        loss, gradient = call("none")
        assert (loss, gradient.shape) == (0.0, (0, 3))


def test_the_first_bad_label_is_named_before_anything_is_written() -> None:
    logits, out = np.zeros((2, 3, 4)), np.full((2, 3, 4), 7.0)
    labels = np.zeros((2, 3), np.int64)
    labels[1, 0], labels[1, 2] = -1, 4
    with pytest.raises(IndexError, match=r"labels\[1, 0\] is -1, expected 0 <= label < 4"):
        reference.softmax_cross_entropy(logits, labels, out=out)
    assert (out == 7.0).all()
    with pytest.raises(IndexError, match=str(2**64 - 1)):
        reference.softmax_cross_entropy(np.zeros((1, 4)), np.array([2**64 - 1], np.uint64))


@pytest.mark.parametrize("labels", [np.array([True, False]), np.array([0.0, 1.0]), [0, 1]])
def test_labels_that_are_neither_integers_nor_probabilities_are_a_type_error(labels: Any) -> None:
    with pytest.raises(TypeError, match="labels"):
        reference.softmax_cross_entropy(np.zeros((2, 3)), labels)


def test_outputs_and_inputs_are_never_converted() -> None:
    x = np.ones((2, 3))
    with pytest.raises(TypeError, match="out has dtype float32, expected float64"):
        reference.relu_forward(x, out=np.empty((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"out has shape \(3, 2\), expected \(2, 3\)"):
        reference.relu_forward(x, out=np.empty((3, 2)))
    with pytest.raises(ValueError, match="C-contiguous"):
        reference.relu_forward(x, out=np.empty((3, 2)).T)
    for wrong in ([1.0], None, np.ones(2, np.int64), np.ones(2, ">f8"), np.ma.ones(2)):
        with pytest.raises(TypeError, match="relu_forward: x"):
            reference.relu_forward(wrong)
    with pytest.raises(TypeError, match="dy has dtype float32, expected float64"):
        reference.relu_backward(x, x.astype(np.float32))
    buffer = np.arange(5.0)
    with pytest.raises(ValueError, match="overlaps"):
        reference.tanh_forward(buffer[:4], out=buffer[1:])


def test_every_op_of_the_namespace_takes_out_where_it_returns_an_array() -> None:
    in_place = {
        "accumulate",
        "count_agreeing",
        "count_correct",
        "l2_penalty",
        "mark_active",
        "sum_of_squares",
    }
    for name in reference.__all__:
        parameters = inspect.signature(getattr(reference, name)).parameters
        expects_out = not (name.endswith("_update") or name in in_place)
        assert ("out" in parameters) == expects_out, name


def test_l1_decay_pulls_by_the_sign_and_leaves_0_alone() -> None:
    param, velocity = np.array([2.0, 0.0, -2.0]), np.zeros(3)
    reference.sgd_update(
        param, np.zeros(3), velocity, learning_rate=0.5, weight_decay=0.25, regularization="l1"
    )
    np.testing.assert_array_equal(param, [1.875, 0.0, -1.875])


def test_epsilon_hat_is_the_papers_other_form() -> None:
    gradient, rate, eps, steps = 0.3, 0.1, 1e-2, 3
    param, mean, square = np.array([1.0]), np.zeros(1), np.zeros(1)
    w, m, v = 1.0, 0.0, 0.0
    for step in range(1, steps + 1):
        reference.adam_update(
            param,
            np.array([gradient]),
            mean,
            square,
            learning_rate=rate,
            step=step,
            epsilon=eps,
            epsilon_hat=True,
        )
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w -= rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (math.sqrt(v) + eps)
    assert param[0] == pytest.approx(w, rel=12 * steps * EPS)
