"""Huber's loss, and targets ``(columns, values)``: one output of each row counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.ops import reference

DTYPES = [np.float32, np.float64]
INF, NAN = float("inf"), float("nan")
# prediction - target, loss and derivative for delta 2; the target is 0.
EDGES = [
    (0.0, 0.0, 0.0),
    (-0.0, 0.0, -0.0),
    (1.0, 0.5, 1.0),
    (-1.0, 0.5, -1.0),
    (2.0, 2.0, 2.0),
    (-2.0, 2.0, -2.0),
    (3.0, 4.0, 2.0),
    (-5.0, 8.0, -2.0),
    (INF, INF, 2.0),
    (-INF, INF, -2.0),
    (NAN, NAN, NAN),
]


@pytest.mark.parametrize("ops", [rl.ops, reference], ids=["native", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("difference", "loss", "derivative"), EDGES)
def test_huber_at_the_edges(ops: Any, dtype: Any, difference: float, loss: float, derivative: float) -> None:
    found, gradient = ops.huber(np.array([difference], dtype), np.zeros(1, dtype), delta=2.0)
    np.testing.assert_equal(found, loss)
    np.testing.assert_equal(gradient, np.array([derivative], dtype))


@pytest.mark.parametrize("ops", [rl.ops, reference], ids=["native", "reference"])
@pytest.mark.parametrize("delta", [0.0, -1.0, INF, NAN])
def test_a_delta_that_limits_nothing(ops: Any, delta: float) -> None:
    x = np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match=r"delta is .*expected a"):
        ops.huber(x, x, delta=delta)
    with pytest.raises(ValueError, match=r"Huber: delta is"):
        rl.Huber(delta)


def batch(rows: int = 300, outputs: int = 5, dtype: Any = np.float32) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(rows)
    prediction = rng.normal(size=(rows, outputs)).astype(dtype)
    return prediction, rng.integers(0, outputs, rows), rng.normal(size=rows).astype(dtype)


LOSSES = {"squared": lambda **o: rl.SquaredError(0.5, **o), "huber": lambda **o: rl.Huber(0.8, **o)}


@pytest.mark.parametrize("normalization", ["full", "batch_size", "valid", "none"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_columns_are_the_loss_of_the_outputs_they_choose(
    name: str, normalization: str, weighted: bool
) -> None:
    y, columns, values = batch()
    weight = np.linspace(0.5, 2.0, len(y), dtype=np.float32) if weighted else None
    loss = LOSSES[name](normalization=normalization)
    at = np.arange(len(y)), columns
    expected, chosen = loss(y[at], values, sample_weight=weight)
    for given in (y, np.asfortranarray(y), np.repeat(y, 2, axis=1)[:, ::2]):
        found, dy = loss(given, (columns, values), sample_weight=weight)
        assert found == expected
        assert dy[at].tobytes() == chosen.tobytes()
        dy[at] = 0
        assert not dy.any()
    in_place = y.copy()
    assert loss(in_place, (columns, values), sample_weight=weight, out=in_place)[0] == expected
    assert in_place[at].tobytes() == chosen.tobytes()


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda c, v: (c + 1, v), IndexError, r"columns\[\d+\] is 5 but prediction has 5 columns"),
    (lambda c, v: (c - 5, v), IndexError, r"columns\[0\] is -\d"),
    (lambda c, v: (c.astype(np.float32), v), TypeError, "columns has dtype float32, expected integers"),
    (lambda c, v: (c > 2, v), TypeError, "columns has dtype bool, expected integers"),
    (lambda c, v: (c[1:], v), ValueError, "columns has shape"),
    (lambda c, v: (c[:, None], v), ValueError, "columns has shape"),
    (lambda c, v: (c, v[1:]), ValueError, "target has shape"),
    (lambda c, v: (c, v[:, None]), ValueError, "target has shape"),
    (lambda c, v: (c, v.astype(np.float64)), TypeError, "target has dtype float64"),
    (lambda c, v: (c, v.tolist()), TypeError, "target is a list"),
    (lambda c, v: (c, v, v), ValueError, r"tuple of 3, expected \(columns, values\)"),
]


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_what_is_wrong_is_named_and_nothing_is_written(name: str, capture: bool) -> None:
    x, columns, values = batch(8, 5)
    loss = LOSSES[name]()
    trainer = rl.Trainer(rl.mlp([5, 4, 5], rng=0), loss, rl.Adam(0.1), capture=capture)
    for _ in range(3):
        trainer.step(x, (columns, values))
    before = trainer.model.flat_params.tobytes()
    for wrong, error, text in BAD:
        out = np.full_like(x, 7)
        with pytest.raises(error, match=text):
            loss(x, wrong(columns, values), out=out)
        assert (out == 7).all()
        with pytest.raises(error, match=text):
            trainer.step(x, wrong(columns, values))
        assert trainer.model.flat_params.tobytes() == before
        assert (trainer.steps, trainer.optimizer.updates) == (3, 3)


def test_columns_need_rows_of_outputs() -> None:
    with pytest.raises(ValueError, match=r"prediction has shape \(3,\), expected \(batch, outputs\)"):
        rl.Huber()(np.zeros(3), (np.zeros(3, int), np.zeros(3)))
    with pytest.raises(ValueError, match="no mean over nothing"):
        rl.Huber()(np.zeros((0, 3)), (np.zeros(0, int), np.zeros(0)))
    with pytest.raises(IndexError, match="prediction has 0 columns"):
        rl.Huber()(np.zeros((2, 0)), (np.zeros(2, int), np.zeros(2)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_captured_step_has_the_bits_of_the_layers(
    name: str, dtype: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    batches = [
        (
            rng.normal(size=(16, 4)).astype(dtype),
            (rng.integers(0, 3, 16, dtype=np.int32), rng.normal(size=16).astype(dtype)),
            rng.uniform(0.5, 2, 16).astype(dtype) if weighted else None,
        )
        for _ in range(8)
    ]
    trainers = [
        rl.Trainer(
            rl.mlp([4, 8, 3], dtype=dtype, rng=0),
            LOSSES[name](),
            rl.Adam(0.01),
            clip_norm=0.5,
            capture=capture,
        )
        for capture in (False, True)
    ]
    losses = []
    for trainer in trainers:
        own = [trainer.step(*batches[0]) for _ in range(3)]
        if trainer.capture:
            monkeypatch.setattr(type(trainer), "_run_step", None)  # from now on all is replayed
        losses.append(own + [trainer.step(*each) for each in batches])
    assert losses[0] == losses[1]
    assert trainers[0].model.flat_params.tobytes() == trainers[1].model.flat_params.tobytes()


def test_a_target_that_is_not_finite_is_named() -> None:
    x, columns, values = batch(8, 5)
    values[3] = np.nan
    trainer = rl.Trainer(rl.mlp([5, 4, 5], rng=0), rl.Huber(), rl.SGD(0.1))
    with pytest.raises(rl.DivergenceError, match=r"y\[1\]\[3\] of the batch is nan"):
        trainer.step(x, (columns, values))


def test_fit_says_that_columns_are_for_steps() -> None:
    x, columns, values = batch(8, 5)
    trainer = rl.Trainer(rl.mlp([5, 4, 5], rng=0), rl.Huber(), rl.SGD(0.1))
    for call in (trainer.fit, trainer.evaluate):
        with pytest.raises(TypeError, match=r"\(columns, values\) are for Trainer.step"):
            call(x, (columns, values))


def test_huber_trains_is_saved_and_explained(tmp_path: Any) -> None:
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    trainer = rl.Trainer(rl.mlp([1, 8, 1], rng=0), rl.Huber(0.25, "batch_size"), rl.Adam(0.02), rng=1)
    history = trainer.fit(x, x * x, epochs=20, batch_size=8)
    assert history["loss"][-1] < history["loss"][0] / 4
    trainer.save_checkpoint(tmp_path / "t.npz")
    assert repr(rl.Trainer.restore(tmp_path / "t.npz").loss) == "Huber(0.25, 'batch_size')"
    told = rl.explain(rl.mlp([1, 3, 1], rng=0), x, x * x, loss=rl.Huber(0.25))
    assert "loss = sum of d^2 / 2 where |d| <= 0.25, else 0.25 * (|d| - 0.25 / 2) / 40" in str(told)
    assert rl.gradcheck(rl.mlp([2, 5, 3], rng=0), x[:6].repeat(2, 1), np.full((6, 3), 0.3), rl.Huber(0.4))
