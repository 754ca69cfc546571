"""Trainer: the order of a step, minibatches, what fit records, and that errors lose nothing."""

from __future__ import annotations

import copy
import math
import threading
from typing import Any

import numpy as np
import pytest

from relu_layers import schedules
from relu_layers.data import ArraySource, two_moons, xor
from relu_layers.layers import Dense, Dropout, PReLU, ReLU, Sigmoid, Softmax
from relu_layers.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential, mlp
from relu_layers.ops import reference
from relu_layers.optimizers import SGD, Adam
from relu_layers.trainer import DivergenceError, Trainer

Array = np.ndarray[Any, np.dtype[Any]]


def net(*extra: Any, dtype: Any = np.float64, seed: int = 0, outputs: int = 3) -> Sequential:
    layers = Dense(4, 5), ReLU(), Dense(5, outputs), *extra
    return Sequential(*layers, dtype=dtype, rng=seed, ops=reference)


def batches(count: int, rows: int = 6, seed: int = 1) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(rows, 4)), rng.integers(0, 3, rows)) for _ in range(count)]


def gradient(model: Sequential, x: Array, labels: Array) -> dict[str, Array]:
    """Backpropagation of softmax and cross entropy through a 4-5-3 net, written out."""
    w1, b1, w2, b2 = (model.params[k] for k in ("0.weight", "0.bias", "2.weight", "2.bias"))
    hidden = x @ w1 + b1
    active = np.maximum(hidden, 0)
    logits = active @ w2 + b2
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(x)), labels] -= 1
    p /= len(x)
    d_hidden = (p @ w2.T) * (hidden > 0)
    return {
        "0.weight": x.T @ d_hidden,
        "0.bias": d_hidden.sum(0),
        "2.weight": active.T @ p,
        "2.bias": p.sum(0),
    }


# --- the order of a step ---


@pytest.mark.parametrize("clip", [None, 0.05, 1e6])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_sum_clip_divide_decay_update(clip: float | None, accumulate: int) -> None:
    """Caffe's order, with multipliers and a frozen parameter, against the order written out."""
    multipliers = {"0.bias": (2.0, 0.0), "2.weight": (0.5, 2.0), "2.bias": (0.0, 1.0)}
    model, twin = net(), net()
    optimizer = SGD(schedules.Step(0.2, 0.5, 2), 0.9, weight_decay=0.01, multipliers=multipliers)
    trainer = Trainer(model, SoftmaxCrossEntropy(), optimizer, clip_norm=clip, accumulate=accumulate)
    velocity = {key: np.zeros_like(value) for key, value in twin.params.items()}
    data = batches(4 * accumulate)
    for update in range(4):
        group = data[update * accumulate : (update + 1) * accumulate]
        total = {key: np.zeros_like(value) for key, value in twin.params.items()}
        for x, labels in group:
            trainer.step(x, labels)
            for key, value in gradient(twin, x, labels).items():
                total[key] += value
        norm = math.sqrt(sum(float((g * g).sum()) for key, g in total.items() if key != "2.bias"))
        scale = clip / norm if clip is not None and norm > clip else 1.0
        for key, g in total.items():
            rate, decay = multipliers.get(key, (1.0, 1.0))
            g = g * scale / accumulate + 0.01 * decay * twin.params[key]
            velocity[key] = 0.9 * velocity[key] + 0.2 * 0.5 ** (update // 2) * rate * g
            twin.params[key] -= velocity[key]
        assert trainer.optimizer.updates == update + 1
        for key, value in twin.params.items():
            np.testing.assert_allclose(model.params[key], value, rtol=1e-12, atol=1e-15, err_msg=key)


def test_step_returns_the_loss_before_the_update() -> None:
    model = net()
    (x, labels), *_ = batches(1)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.1))
    before = trainer.evaluate(x, labels)["loss"]
    assert trainer.step(x, labels) == pytest.approx(before, rel=1e-15)
    assert trainer.evaluate(x, labels)["loss"] < before


def test_the_seeds_net_ends_in_softmax() -> None:
    """Trained on the logits before a final Softmax, like the net without it; likewise Sigmoid."""
    for last, loss, target in [
        (Softmax(), SoftmaxCrossEntropy(), np.array([0, 1, 2, 0, 1, 2])),
        (Sigmoid(), SigmoidCrossEntropy(), np.random.default_rng(0).uniform(size=(6, 3))),
    ]:
        x = batches(1)[0][0]
        plain, closed = net(), net(last)
        a, b = (Trainer(model, loss, SGD(0.5)) for model in (plain, closed))
        for _ in range(5):
            assert a.step(x, target) == b.step(x, target)
        assert a.evaluate(x, target) == b.evaluate(x, target)
        np.testing.assert_array_equal(plain.flat_params, closed.flat_params)
    with pytest.raises(ValueError, match="axis"):
        Trainer(net(Softmax(axis=0)), SoftmaxCrossEntropy(), SGD(0.1))


def test_sample_weights_count_rows() -> None:
    """Weight 2 is a row twice, weight 0 a row less."""
    (x, labels), *_ = batches(1)
    weight = np.array([2.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    a, b = (Trainer(net(), SoftmaxCrossEntropy(), SGD(0.5)) for _ in range(2))
    first = a.step(x, labels, weight)
    assert first == pytest.approx(b.step(x[[0, 0, 2, 3, 4, 5]], labels[[0, 0, 2, 3, 4, 5]]), rel=1e-14)
    np.testing.assert_allclose(a.model.flat_params, b.model.flat_params, rtol=1e-13)
    assert a.evaluate(x, labels, weight)["loss"] == pytest.approx(
        b.evaluate(x[[0, 0, 2, 3, 4, 5]], labels[[0, 0, 2, 3, 4, 5]])["loss"], rel=1e-14
    )


def test_step_is_strict_and_prints_the_fix() -> None:
    trainer = Trainer(net(dtype=np.float32), SoftmaxCrossEntropy(), SGD(0.1))
    (x, labels), *_ = batches(1)
    with pytest.raises(TypeError, match=r"x is float64, expected float32; pass x\.astype\(np\.float32\)"):
        trainer.step(x, labels)
    with pytest.raises(TypeError):
        trainer.step(x.astype(np.float32), labels.astype(np.float32))
    assert trainer.steps == 0


def test_the_models_ops_are_used_throughout() -> None:
    """A namespace that counts: forward, loss, backward, norm, sum, dead units and update go through it."""

    class Counting:
        def __init__(self) -> None:
            self.calls: set[str] = set()

        def __getattr__(self, name: str) -> Any:
            found = getattr(reference, name)
            self.calls.add(name)
            return found

    counting = Counting()
    model = Sequential(Dense(4, 5), ReLU(), Dense(5, 3), dtype=np.float64, rng=0, ops=counting)
    loss = SoftmaxCrossEntropy()
    trainer = Trainer(model, loss, SGD(0.1), clip_norm=1.0, accumulate=2)
    (x, labels), *_ = batches(1)
    Trainer(net(), loss, SGD(0.1)).step(x, labels)
    assert not counting.calls
    trainer.fit(x, labels, epochs=1, batch_size=2)
    assert counting.calls == {
        *("dense_forward", "relu_forward", "softmax_cross_entropy", "relu_backward", "dense_backward"),
        *("accumulate", "sum_of_squares", "sgd_update", "mark_active", "count_correct"),
    }


@pytest.mark.parametrize("weighted", [False, True])
def test_a_penalty_is_the_gradient_of_what_it_adds(weighted: bool) -> None:
    (x, labels), *_ = batches(1)
    weights = np.linspace(0.5, 2.0, len(x)) if weighted else None
    rows = len(x) if weights is None else weights.sum()
    model = net()
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.0), l2_penalty=0.7)
    dense = [key for key, layer in (("0.weight", 0), ("2.weight", 2))]

    def objective() -> tuple[float, float]:
        penalty = 0.35 * sum(float((model.params[key] ** 2).sum()) for key in dense) / rows
        return trainer.evaluate(x, labels, weights)["loss"], penalty

    trainer.step(x, labels, weights)
    loss, penalty = objective()
    grads = {key: value.copy() for key, value in model.grads.items()}
    history = trainer.fit(x, labels, epochs=1, batch_size=len(x), shuffle=False, sample_weight=weights)
    assert history["loss"][-1] == pytest.approx(loss, rel=1e-12)
    assert history["penalty"][-1] == pytest.approx(penalty, rel=1e-12)
    for key, grad in grads.items():
        for index in [(0,) * grad.ndim, tuple(n - 1 for n in grad.shape)]:
            values = []
            for h in (1e-5, -1e-5):
                model.params[key][index] += h
                values.append(sum(objective()))
                model.params[key][index] -= h
            assert grad[index] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-9)


def test_a_penalty_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match=r"l2_penalty is -1.0, expected at least 0"):
        Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1), l2_penalty=-1)


def test_an_order_of_ones_own_is_used_and_checked() -> None:
    (x, labels), *_ = batches(1)
    seen: list[int] = []

    def backwards(rows: int) -> Any:
        seen.append(rows)
        return np.arange(rows)[::-1]

    a, b = (Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1)) for _ in range(2))
    a.fit(x, labels, epochs=3, batch_size=4, shuffle=backwards)
    # Copies: NumPy 2.0 multiplies rows that lie backwards in another order.
    b.fit(x[::-1].copy(), labels[::-1].copy(), epochs=3, batch_size=4, shuffle=False)
    assert seen == [len(x)] * 3
    assert a.model.flat_params.tobytes() == b.model.flat_params.tobytes()
    for wrong in ([0, 1], np.zeros(len(x), np.int64), np.arange(len(x)) + 1, np.arange(len(x)) * 1.0):
        with pytest.raises(ValueError, match="Minibatches: shuffle returned"):
            a.fit(x, labels, epochs=1, batch_size=4, shuffle=lambda rows, wrong=wrong: wrong)


def test_a_users_loss_trains() -> None:
    (x, _), *_ = batches(1)
    target = np.ones((6, 3))
    a = Trainer(net(), lambda y, t: (float(((y - t) ** 2).mean()), 2 * (y - t) / y.size), SGD(0.1))
    b = Trainer(net(), SquaredError(), SGD(0.1))
    history = a.fit(x, target, epochs=3, batch_size=4, shuffle=False, validation=(x, target))
    other = b.fit(x, target, epochs=3, batch_size=4, shuffle=False, validation=(x, target))
    np.testing.assert_allclose(history["loss"], other["loss"], rtol=1e-12)
    np.testing.assert_allclose(history["validation_loss"], other["validation_loss"], rtol=1e-12)
    wrong = Trainer(net(), lambda y, t: (0.5, y[:1]), SGD(0.1))
    with pytest.raises(ValueError, match="returned a gradient float64 of shape"):
        wrong.step(x, target)


# --- fit ---


def by_hand(trainer: Trainer, x: Array, y: Array, order: list[int], size: int) -> list[float]:
    return [trainer.step(x[order[i : i + size]], y[order[i : i + size]]) for i in range(0, len(order), size)]


def data_of(rows: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)), rng.integers(0, 3, rows)


def test_fit_without_shuffling_is_steps_in_order() -> None:
    x, labels = data_of(17)
    a, b = (Trainer(net(), SoftmaxCrossEntropy(), Adam(0.01)) for _ in range(2))
    history = a.fit(x, labels, epochs=2, batch_size=5, shuffle=False)
    losses = [by_hand(b, x, labels, list(range(17)), 5) for _ in range(2)]
    np.testing.assert_array_equal(a.model.flat_params, b.model.flat_params)
    expected = [np.average(values, weights=[5, 5, 5, 2]) for values in losses]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-14)


def test_minibatches_are_views_unless_shuffled_then_one_buffer() -> None:
    x, labels = data_of(10)
    seen: list[Array] = []

    class Watch(ReLU):
        def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
            if training:
                seen.append(x)
            return super().forward(x, training, out=out)

    model = Sequential(Watch(), Dense(4, 3), dtype=np.float64, rng=0, ops=reference)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.1))
    trainer.fit(x, labels, epochs=1, batch_size=4, shuffle=False)
    assert [len(part) for part in seen] == [4, 4, 2]
    assert all(np.shares_memory(part, x) for part in seen)
    seen.clear()
    trainer.fit(x, labels, epochs=2, batch_size=4)
    assert [len(part) for part in seen] == [4, 4, 2, 4, 4, 2]
    assert not any(np.shares_memory(part, x) for part in seen)
    assert len({part.ctypes.data for part in seen}) == 1


def test_each_epoch_has_its_own_order_from_the_trainers_generator() -> None:
    numbers = np.arange(12.0)[:, None]
    orders: list[list[int]] = []

    def record(y: Array, target: Array) -> tuple[float, Array]:
        orders[-1].extend(target[:, 0].astype(int).tolist())
        return 0.0, np.zeros_like(y)

    for rng in (7, 7, 8):
        orders.append([])
        trainer = Trainer(net(), record, SGD(0.1), rng=rng)
        trainer.fit(numbers * np.ones(4), numbers, epochs=2, batch_size=5)
    assert orders[0] == orders[1] != orders[2]
    first, second = orders[0][:12], orders[0][12:]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    model = net()
    assert Trainer(model, record, SGD(0.1)).rng is model.rng


def test_an_incomplete_group_is_closed_at_the_end_of_an_epoch() -> None:
    """Five minibatches in groups of three: the second group divides by two."""
    x, labels = data_of(10)
    a = Trainer(net(), SoftmaxCrossEntropy(), SGD(0.5), accumulate=3)
    a.fit(x, labels, epochs=1, batch_size=2, shuffle=False)
    assert a.optimizer.updates == 2
    b = net()
    for rows in ([0, 2, 4], [6, 8]):
        parts = [gradient(b, x[i : i + 2], labels[i : i + 2]) for i in rows]
        for key in b.params:
            b.params[key] -= 0.5 * sum(part[key] for part in parts) / len(rows)
    np.testing.assert_allclose(a.model.flat_params, b.flat_params, rtol=1e-12)


def test_the_question_s_integer_xor_just_works() -> None:
    x, y = xor()
    model = Sequential(Dense(2, 30, bias=False), ReLU(), Dense(30, 1, bias=False), rng=0, ops=reference)
    trainer = Trainer(model, SquaredError(normalization="none"), SGD(0.02))
    history = trainer.fit(x, y, epochs=300, batch_size=4, validation=(x, y))
    assert history["loss"][-1] < 0.05 < history["loss"][0]
    # A sum stays a sum: the next epoch's loss is the loss of all rows at once after the one before.
    np.testing.assert_allclose(history["loss"][1:], history["validation_loss"][:-1], rtol=1e-4)
    assert "accuracy" not in history
    assert trainer.evaluate(x.tolist(), y.tolist()) == trainer.evaluate(x, y)


@pytest.mark.parametrize(
    ("loss", "weighted"),
    [
        (SoftmaxCrossEntropy(), False),
        (SoftmaxCrossEntropy(), True),
        (SoftmaxCrossEntropy(class_weight=[1.0, 2.0, 5.0], ignore_label=-1), True),
        (SoftmaxCrossEntropy(ignore_label=-1), False),
        (SoftmaxCrossEntropy(ignore_label=-1, normalization="none"), True),
        (SoftmaxCrossEntropy(normalization="full"), True),
        (SoftmaxCrossEntropy(label_smoothing=0.1), False),
        (SigmoidCrossEntropy(normalization="valid", ignore_label=-1), True),
        (SigmoidCrossEntropy(), False),
        (SquaredError(), False),
        (SquaredError(normalization="valid"), True),
    ],
    ids=repr,
)
def test_epoch_loss_and_accuracy_are_those_of_all_rows(loss: Any, weighted: bool) -> None:
    """With a rate of 0 the minibatches of an epoch together say what evaluate says of all rows at once."""
    x, labels = data_of(23)
    weight = np.random.default_rng(5).uniform(0.5, 2.0, 23) if weighted else None
    target: Array = labels
    if not isinstance(loss, SoftmaxCrossEntropy):
        target = np.random.default_rng(6).integers(0, 2, (23, 3)).astype(np.float64)
    if getattr(loss, "ignore_label", None) is not None:
        target = target.copy()
        target[::4] = -1
    trainer = Trainer(net(), loss, SGD(0.0))
    history = trainer.fit(
        x, target, epochs=1, batch_size=5, sample_weight=weight, validation=(x, target, weight)
    )
    whole = trainer.evaluate(x, target, weight)
    for name, value in whole.items():
        assert history[name][0] == pytest.approx(value, rel=1e-13), name
        assert history[f"validation_{name}"][0] == value
    assert ("accuracy" in history) == (not isinstance(loss, SquaredError))


def test_any_integers_in_any_form_are_labels() -> None:
    x, labels = data_of(20)
    expected = Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1)).fit(x, labels, epochs=2, batch_size=6)["loss"]
    for given in (labels.astype(np.uint8), labels.astype(">i4"), labels.tolist(), np.repeat(labels, 2)[::2]):
        trainer = Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1))
        np.testing.assert_array_equal(
            trainer.fit(x.tolist(), given, epochs=2, batch_size=6)["loss"], expected
        )


def test_probability_labels_have_an_accuracy() -> None:
    x, labels = data_of(20)
    trainer = Trainer(net(), SoftmaxCrossEntropy(), Adam(0.05))
    history = trainer.fit(x, np.eye(3, dtype=np.float32)[labels], epochs=3, batch_size=6)
    other = Trainer(net(), SoftmaxCrossEntropy(), Adam(0.05)).fit(x, labels, epochs=3, batch_size=6)
    np.testing.assert_allclose(history["loss"], other["loss"], rtol=1e-12)
    np.testing.assert_array_equal(history["accuracy"], other["accuracy"])


def test_evaluate_ranks_the_largest_logits() -> None:
    x, labels = data_of(50)
    trainer = Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1))
    order = np.argsort(-trainer.model(x), axis=1)
    for k in (1, 2, 3):
        expected = np.mean((order[:, :k] == labels[:, None]).any(axis=1))
        assert trainer.evaluate(x, labels, top_k=k)["accuracy"] == expected
    with pytest.raises(ValueError, match="top_k is 0"):
        trainer.evaluate(x, labels, top_k=0)


def test_learning_rates_and_epochs_go_on() -> None:
    x, labels = data_of(10)
    trainer = Trainer(net(), SoftmaxCrossEntropy(), SGD(schedules.Exponential(0.1, 0.5)))
    first = trainer.fit(x, labels, epochs=2, batch_size=5)
    second = trainer.fit(x, labels, epochs=1, batch_size=5, validation=(x, labels))
    assert second is first is trainer.history
    assert second.epochs == len(second) == 3
    np.testing.assert_allclose(second["learning_rate"], 0.1 * 0.5 ** np.array([1.0, 3.0, 5.0]), rtol=1e-15)
    assert np.isnan(second["validation_loss"]).tolist() == [True, True, False]
    assert trainer.fit(x, labels, epochs=0, batch_size=5).epochs == 3


def test_dead_units_are_counted_per_relu_and_epoch() -> None:
    model = Sequential(
        ReLU(),
        Dense(4, 6),
        ReLU(0.01),
        Dense(6, 5),
        PReLU(5),
        Dense(5, 2),
        dtype=np.float64,
        rng=0,
        ops=reference,
    )
    model.params["1.bias"][:2] = -100.0
    x, labels = data_of(12)
    x[:, 3] = -1.0
    history = Trainer(model, SoftmaxCrossEntropy(), SGD(0.0)).fit(x, labels % 2, epochs=2, batch_size=5)
    hidden = np.maximum(x, 0) @ model.params["1.weight"] + model.params["1.bias"]
    expected = [int((~(x > 0).any(axis=0)).sum()), int((~(hidden > 0).any(axis=0)).sum())]
    assert expected[0] >= 1
    assert expected[1] >= 2
    np.testing.assert_array_equal(history["dead_units"], [expected, expected])
    plain = Trainer(mlp([4, 3], dtype=np.float64, ops=reference), SoftmaxCrossEntropy(), SGD(0.0))
    assert plain.fit(x, labels, epochs=2, batch_size=5)["dead_units"].shape == (2, 0)


def test_evaluate_in_parts_is_evaluate_at_once() -> None:
    """More rows than pass through the model at once; dropout is off; an awkward order in memory."""
    x, labels = data_of(2500)
    trainer = Trainer(net(Dropout(0.5), Dense(3, 3)), SoftmaxCrossEntropy(), SGD(0.1))
    logits = trainer.model(x)
    expected = reference.softmax_cross_entropy(logits, labels)[0]
    for layout in (x, np.asfortranarray(x), x[::-1][::-1]):
        scores = trainer.evaluate(layout, labels)
        assert scores["loss"] == pytest.approx(expected, rel=1e-13)
        assert scores["accuracy"] == np.mean(logits.argmax(axis=1) == labels)
    a, b = (copy.deepcopy(trainer).fit(v, labels, epochs=1, batch_size=99) for v in (x, np.asfortranarray(x)))
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-12)


# --- errors lose nothing ---


def snapshot(trainer: Trainer) -> list[Any]:
    masks = [layer.state() for layer in trainer.model.layers if isinstance(layer, Dropout)]
    slots = {name: slot.tolist() for name, slot in trainer.optimizer.slots.items()}
    counts = trainer.steps, trainer.optimizer.updates, trainer.history.epochs
    return [trainer.model.flat_params.tolist(), slots, masks, counts, trainer.state_dict()["summed"]]


BAD: dict[str, tuple[Any, Any]] = {
    "label": (
        lambda x, y: (x, np.where(np.arange(len(y)) == 15, 9, y)),
        (IndexError, r"y\[15\] is 9, .* 0 \.\. 2"),
    ),
    "negative label": (lambda x, y: (x, y - 1), (IndexError, r"y\[\d+\] is -1")),
    "rows": (lambda x, y: (x, y[:-1]), (ValueError, "x has 20 rows but y has 19")),
    "no rows": (lambda x, y: (x[:0], y[:0]), (ValueError, "x has no rows")),
    "columns": (lambda x, y: (x[:, :3], y), (ValueError, r"layer 0, Dense\(4, 5\)")),
    "label shape": (lambda x, y: (x, y[:, None]), (ValueError, "labels")),
    "float labels": (lambda x, y: (x, y.astype(float)), (TypeError, "labels")),
    "bool labels": (lambda x, y: (x, y > 0), (TypeError, "bool")),
    "text": (lambda x, y: (np.full(x.shape, "a"), y), (TypeError, "x has dtype <U1")),
    "masked": (lambda x, y: (np.ma.masked_array(x), y), (TypeError, "masked")),
    "scalar": (lambda x, y: (x, np.int64(3)), (ValueError, "first axis of rows")),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_found_before_the_first_step(name: str) -> None:
    change, (error, message) = BAD[name]
    trainer = Trainer(net(Dropout(0.3)), SoftmaxCrossEntropy(), Adam(0.1))
    x, labels = data_of(20)
    before = snapshot(trainer), trainer.rng.bit_generator.state
    bad_x, bad_y = change(x, labels)
    with pytest.raises(error, match=message):
        trainer.fit(bad_x, bad_y, epochs=1, batch_size=4)
    with pytest.raises(error, match=message):
        trainer.fit(x, labels, epochs=1, batch_size=4, validation=(bad_x, bad_y))
    assert (snapshot(trainer), trainer.rng.bit_generator.state) == before
    trainer.fit(x, labels, epochs=1, batch_size=4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs is -1"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"shuffle": 1}, TypeError, "shuffle is 1"),
        ({"validation": 0.2}, TypeError, "validation must be"),
        ({"validation": (1, 2, 3, 4)}, TypeError, "validation must be"),
        ({"sample_weight": np.ones(3)}, ValueError, r"sample_weight has shape \(3,\), expected \(20,\)"),
        ({"callbacks": [3]}, TypeError, "neither callable"),
        ({"progress": 3}, TypeError, "neither callable"),
    ],
)
def test_wrong_arguments_of_fit(options: dict[str, Any], error: Any, message: str) -> None:
    trainer = Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(error, match=message):
        trainer.fit(*data_of(20), **{"epochs": 1, "batch_size": 4, **options})
    assert trainer.steps == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"clip_norm": 0.0}, ValueError, "clip_norm is 0.0"),
        ({"accumulate": 0}, ValueError, "accumulate is 0"),
        ({"capture": None}, TypeError, "capture is None"),
        ({"callbacks": [print, 3]}, TypeError, "3 is neither callable"),
        ({"loss": SoftmaxCrossEntropy}, TypeError, "loss is"),
        ({"optimizer": SGD}, TypeError, "optimizer is"),
        ({"model": Dense(4, 3)}, TypeError, r"model is Dense\(4, 3\)"),
    ],
)
def test_wrong_arguments_of_the_constructor(arguments: dict[str, Any], error: Any, message: str) -> None:
    parts = {"model": net(), "loss": SoftmaxCrossEntropy(), "optimizer": SGD(0.1), **arguments}
    with pytest.raises(error, match=message):
        Trainer(parts.pop("model"), parts.pop("loss"), parts.pop("optimizer"), **parts)


def test_a_step_that_fails_leaves_all_as_it_was() -> None:
    trainer = Trainer(net(Dropout(0.3)), SoftmaxCrossEntropy(), Adam(0.1), accumulate=3)
    twin = copy.deepcopy(trainer)
    for i, (x, labels) in enumerate(batches(7)):
        if i in (1, 2, 5):
            before = snapshot(trainer)
            with pytest.raises(IndexError, match="7"):
                trainer.step(x, np.full(6, 7))
            assert snapshot(trainer) == before
        assert trainer.step(x, labels) == twin.step(x, labels)
    np.testing.assert_array_equal(trainer.model.flat_params, twin.model.flat_params)


def test_divergence_names_epoch_batch_layer_and_rate() -> None:
    x, _ = data_of(20)
    target = np.ones((20, 3))
    trainer = Trainer(net(), SquaredError(), SGD(1e200))
    with pytest.raises(DivergenceError) as caught, np.errstate(all="ignore"):
        trainer.fit(x, target, epochs=5, batch_size=10)
    message = str(caught.value)
    for part in ("epoch 1, batch 2", "the learning rate is 1e+200", "layer"):
        assert part in message
    assert isinstance(caught.value, ArithmeticError)
    assert (trainer.steps, trainer.optimizer.updates, trainer.history.epochs) == (1, 1, 0)


def test_divergence_tells_bad_data_from_bad_rates() -> None:
    x, labels = data_of(20)
    x[13, 2] = np.nan
    trainer = Trainer(net(), SoftmaxCrossEntropy(), Adam(0.1))
    with pytest.raises(ValueError, match=r"Trainer.fit: x\[13, 2\] is nan, expected finite numbers"):
        trainer.fit(x, labels, epochs=1, batch_size=5, shuffle=False)
    assert trainer.steps == 0
    with pytest.raises(DivergenceError, match=r"epoch 1, batch 3.*row 3 of the batch itself"):
        trainer.fit(ArraySource(x, labels), epochs=1, batch_size=5, shuffle=False)
    assert trainer.steps == 2
    assert np.isfinite(trainer.model.flat_params).all()
    before = snapshot(trainer)
    with pytest.raises(DivergenceError, match="in step 3: "):
        trainer.step(x[10:15], labels[10:15])
    trainer.model.params["2.weight"][0, 0] = np.inf
    with pytest.raises(DivergenceError, match=r"layer 2, Dense\(5, 3\).*\(so is its parameter 2\.weight\)"):
        trainer.step(np.ones((2, 4)), labels[:2])
    trainer.model.params["2.weight"][0, 0] = before[0][25]
    assert snapshot(trainer) == before


def test_an_infinite_gradient_is_not_clipped_into_nan() -> None:
    trainer = Trainer(net(), lambda y, t: (1.0, np.full_like(y, np.inf)), SGD(0.1), clip_norm=1.0)
    before = snapshot(trainer)
    with pytest.raises(DivergenceError, match="the gradient norm is"), np.errstate(all="ignore"):
        trainer.step(np.ones((2, 4)), np.ones((2, 3)))
    assert snapshot(trainer) == before


def test_training_beside_another_use_is_refused() -> None:
    trainer = Trainer(net(), SoftmaxCrossEntropy(), SGD(0.1))
    x, labels = data_of(20)
    errors: list[str] = []

    def elsewhere() -> None:
        for use in (
            lambda: trainer.step(x, labels),
            lambda: trainer.model(x),
            lambda: trainer.evaluate(x, labels),
        ):
            try:
                use()
            except RuntimeError as error:
                errors.append(str(error))

    def callback(_: Any, record: Any) -> None:
        assert trainer.evaluate(x, labels)["loss"] > 0
        trainer.model.predict(x)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    trainer.fit(x, labels, epochs=1, batch_size=7, callbacks=[callback])
    assert len(errors) == 3
    elsewhere()
    assert len(errors) == 3


def test_a_deep_copy_goes_on_by_itself() -> None:
    trainer = Trainer(net(Dropout(0.3)), SoftmaxCrossEntropy(), Adam(0.05), accumulate=2)
    x, labels = data_of(21)
    trainer.fit(x, labels, epochs=1, batch_size=4)
    trainer.step(x, labels)
    twin = copy.deepcopy(trainer)
    assert twin.rng is twin.model.rng is not trainer.rng
    for one in (trainer, twin):
        one.fit(x, labels, epochs=2, batch_size=4)
    assert snapshot(trainer) == snapshot(twin)
    np.testing.assert_array_equal(trainer.history["loss"], twin.history["loss"])
    assert "epochs" in repr(twin)


def test_two_moons_are_learned() -> None:
    x, y = two_moons(400, 0.1, rng=0)
    model = mlp([2, 32, 2], rng=0, ops=reference)
    trainer = Trainer(model, SoftmaxCrossEntropy(), Adam(0.02))
    trainer.fit(x, y, epochs=30, batch_size=32, validation=two_moons(100, 0.1, rng=1))
    assert trainer.history["validation_accuracy"][-1] > 0.97
