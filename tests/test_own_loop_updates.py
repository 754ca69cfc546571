"""Updating in a loop of one's own: what an optimizer is bound to, clipping, freezing, and ways to train nothing."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.ops import reference

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(8, 4)).astype(np.float32), np.arange(8) % 2


def trained_loss(trainer: rl.Trainer, steps: int = 30) -> tuple[float, float]:
    losses = [trainer.step(X, LABELS) for _ in range(steps)]
    return losses[0], losses[-1]


@pytest.mark.parametrize("call", [lambda o: o.update(), lambda o: o.gradient_norm()])
def test_an_unbound_optimizer_says_bind(call: Any) -> None:
    optimizer = rl.Adam(1e-3)
    with pytest.raises(RuntimeError, match=r"Adam: nothing to update; call bind\(model\)"):
        call(optimizer)
    assert optimizer.updates == 0
    bound = rl.Adam(1e-3)
    bound.bind(rl.mlp([4, 2]))
    with pytest.raises(RuntimeError, match="bind"):
        call(copy.deepcopy(bound))


@pytest.mark.parametrize("capture", [False, True])
def test_an_optimizer_that_is_assigned_trains(capture: bool) -> None:
    trainer = rl.Trainer(rl.mlp([4, 16, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(1e-3), capture=capture)
    trained_loss(trainer, 3)
    trainer.optimizer = optimizer = rl.SGD(0.1)
    first, last = trained_loss(trainer)
    assert last < 0.9 * first
    assert optimizer.updates == 30
    trainer.optimizer = rl.Adam(1e-2)
    trained_loss(trainer)
    assert optimizer.updates == 30
    assert copy.deepcopy(trainer).optimizer.updates == 30


def test_an_optimizer_of_another_model_cannot_be_assigned() -> None:
    trainers = [rl.Trainer(rl.mlp([4, 2], rng=i), rl.SoftmaxCrossEntropy(), rl.SGD(0.1)) for i in range(2)]
    own = trainers[0].optimizer
    with pytest.raises(ValueError, match="belongs to another model"):
        trainers[0].optimizer = trainers[1].optimizer
    with pytest.raises(TypeError, match=r"optimizer is 0\.1"):
        trainers[0].optimizer = 0.1  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"clip_norm is -1\.0"):
        trainers[0].clip_norm = -1.0
    assert trainers[0].optimizer is own
    assert trainers[0].clip_norm is None


def test_a_trainer_keeps_its_model() -> None:
    trainer = rl.Trainer(rl.mlp([4, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    model = trainer.model
    with pytest.raises(AttributeError, match="make a new Trainer"):
        trainer.model = rl.mlp([4, 2])
    assert trainer.model is model


def test_one_optimizer_updates_models_and_arrays_outside_them() -> None:
    first, second = (rl.mlp([3, 4, 2], dtype=np.float64, rng=i) for i in range(2))
    scalar, grad = np.array(2.0), np.array(0.5)
    matrix, dmatrix = np.ones((2, 3)), np.full((2, 3), 0.25)
    apart = [rl.Adam(0.1) for _ in range(4)]
    together = rl.Adam(0.1)
    owners = first, second, (scalar, grad), (matrix, dmatrix)
    together.bind(*owners)
    together.bind(*owners)  # the same again: the state stays
    for model in (first, second):
        model.flat_grads[:] = np.linspace(-1, 1, model.flat_grads.size)
    twins = copy.deepcopy((first, second))
    arrays = [(scalar.copy(), grad), (matrix.copy(), dmatrix)]
    for optimizer, owner in zip(apart, (*twins, *arrays), strict=True):
        optimizer.bind(owner)
    for twin, model in zip(twins, (first, second), strict=True):
        twin.flat_grads[:] = model.flat_grads
    for _ in range(5):
        together.update(0.5)
        for optimizer in apart:
            optimizer.update(0.5)
    for model, twin in zip((first, second), twins, strict=True):
        assert model.flat_params.tobytes() == twin.flat_params.tobytes()
    assert scalar.tobytes() == arrays[0][0].tobytes()
    assert matrix.tobytes() == arrays[1][0].tobytes()
    assert scalar != 2.0
    squares = sum(float(np.sum(m.flat_grads**2)) for m in (first, second)) + 0.25 + 6 * 0.0625
    assert together.gradient_norm() == pytest.approx(math.sqrt(squares), rel=1e-14)
    with pytest.raises(ValueError, match="belongs to another"):
        together.bind(first)


def test_multipliers_of_several_owners_are_named_by_place() -> None:
    models = [rl.mlp([3, 2], dtype=np.float64, rng=i) for i in range(2)]
    scalar, grad = np.array([1.0]), np.array([1.0])
    optimizer = rl.SGD(0.5, multipliers={"1:0.weight": (0.0, 0.0), "2": (2.0, 1.0)})
    optimizer.bind(*models, (scalar, grad))
    before = [model.flat_params.copy() for model in models]
    for model in models:
        model.flat_grads[:] = 1.0
    optimizer.update()
    np.testing.assert_allclose(models[0].flat_params, before[0] - 0.5)
    np.testing.assert_allclose(models[1].flat_params, before[1] - np.repeat([0.0, 0.5], [6, 2]))
    assert scalar == [0.0]
    with pytest.raises(ValueError, match=r"'0\.weight', not a parameter \(did you mean '1:0\.weight'"):
        optimizer.multipliers = {"0.weight": (0.0, 0.0)}


@pytest.mark.parametrize(
    ("owners", "error", "words"),
    [
        ((), ValueError, "at least one model"),
        ((np.zeros(3),), TypeError, "expected a model or a pair"),
        (((np.zeros(3),),), TypeError, "two arrays"),
        (((np.zeros(3), np.zeros(4)),), ValueError, "same shape"),
        (((np.zeros(3), np.zeros(3, np.float32)),), TypeError, "float64 and float32"),
        (((np.zeros(3, int), np.zeros(3, int)),), TypeError, "int64"),
        (((np.zeros((3, 3)).T, np.zeros((3, 3))),), None, ""),
        (((np.zeros((3, 4))[:, ::2], np.zeros((3, 2))),), ValueError, "C-contiguous"),
        (
            ((np.zeros(2), np.zeros(2)), (np.zeros(2, np.float32), np.zeros(2, np.float32))),
            TypeError,
            "one dtype",
        ),
    ],
)
def test_what_cannot_be_bound(owners: Any, error: Any, words: str) -> None:
    optimizer = rl.SGD(0.1)
    if error is None:
        with pytest.raises(ValueError, match="C-contiguous"):
            optimizer.bind(*owners)
        return
    with pytest.raises(error, match=words):
        optimizer.bind(*owners)
    with pytest.raises(RuntimeError, match="bind"):
        optimizer.update()


def test_parameters_cannot_be_bound_twice() -> None:
    model = rl.mlp([3, 2])
    pair = model.params["0.weight"], np.zeros((3, 2), np.float32)
    for owners in [(model, model), (model, pair)]:
        with pytest.raises(ValueError, match="the same parameters twice"):
            rl.SGD(0.1).bind(*owners)


def test_update_clips_to_the_norm_it_returns() -> None:
    model = rl.mlp([3, 4, 2], dtype=np.float64, rng=0)
    twin = copy.deepcopy(model)
    optimizer, other = rl.SGD(0.1), rl.SGD(0.1)
    optimizer.bind(model)
    other.bind(twin)
    model.flat_grads[:] = twin.flat_grads[:] = 3.0
    norm = 3.0 * math.sqrt(model.flat_grads.size)
    assert optimizer.update() is None
    other.update()
    assert optimizer.update(0.5, clip_norm=1.0) == pytest.approx(norm, rel=1e-14)
    other.update(0.5 / norm)
    np.testing.assert_allclose(model.flat_params, twin.flat_params, rtol=1e-14)
    before = model.flat_params.copy()
    model.flat_grads[0] = np.nan
    with pytest.raises(ValueError, match="gradient norm is nan"):
        optimizer.update(clip_norm=1.0)
    with pytest.raises(ValueError, match="clip_norm is 0"):
        optimizer.update(clip_norm=0)
    np.testing.assert_array_equal(model.flat_params, before)
    assert optimizer.updates == 2


FROZEN = {"0.weight": (0, 0), "0.bias": (0, 0)}


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("between", ["nothing", "copied", "loaded"])
def test_adam_counts_the_steps_of_thawed_parameters_from_their_thaw(capture: bool, between: str) -> None:
    """The first updates after a thaw are as large as the first updates of all: the rate."""
    trainer = rl.Trainer(
        rl.mlp([4, 8, 2], dtype=np.float64, rng=0),
        rl.SoftmaxCrossEntropy(),
        rl.Adam(1e-3, multipliers=FROZEN),
        capture=capture,
    )
    x = X.astype(np.float64)
    for _ in range(300):
        trainer.step(x, LABELS)
    if between == "copied":
        trainer = copy.deepcopy(trainer)
    if between == "loaded":
        state, model = trainer.optimizer.state_dict(), trainer.model
        trainer = rl.Trainer(
            copy.deepcopy(model), rl.SoftmaxCrossEntropy(), rl.Adam(1e-3, multipliers=FROZEN), capture=capture
        )
        trainer.optimizer.load_state_dict(state)
    trainer.optimizer.multipliers = {}
    moves = []
    for _ in range(12):
        before = trainer.model.params["0.weight"].copy()
        trainer.step(x, LABELS)
        moves.append(np.abs(trainer.model.params["0.weight"] - before).max() / 1e-3)
    assert max(moves) < 1.05
    assert moves[0] == pytest.approx(1.0, rel=1e-3)


def test_parameters_frozen_for_a_while_keep_their_own_number_of_steps() -> None:
    """As PyTorch with a step per parameter: what trained only in some updates has counted only those."""
    model = rl.mlp([2, 2], dtype=np.float64, rng=0, ops=reference)
    optimizer = rl.Adam(0.01)
    optimizer.bind(model)
    alone = rl.mlp([2, 2], dtype=np.float64, rng=0, ops=reference)
    own = rl.Adam(0.01)
    own.bind(alone)
    gradients = RNG.normal(size=(20, model.flat_grads.size))
    for number, gradient in enumerate(gradients):
        if number in (5, 10):
            optimizer.multipliers = {"0.weight": (0.0, 1.0)} if number == 5 else {}
        model.flat_grads[:] = alone.flat_grads[:] = gradient
        optimizer.update()
        if not 5 <= number < 10:
            own.update()
    np.testing.assert_array_equal(model.params["0.weight"], alone.params["0.weight"])
    assert optimizer.state_dict()["missed"] == {"0.weight": 5}


def test_a_rate_is_taken_at_once_and_checked_all_the_same() -> None:
    """A positive float goes past the setter; what else is assigned, and to whom, does not."""
    optimizer = rl.SGD(rl.schedules.Exponential(0.1, 0.9))
    optimizer.learning_rate = 0.25
    assert optimizer.learning_rate(0) == 0.25
    for value, error in (
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("0.1", TypeError),
    ):
        with pytest.raises(error, match="learning_rate"):
            optimizer.learning_rate = value
        assert optimizer.learning_rate(0) == 0.25
    optimizer.learning_rate = -0.0
    assert math.copysign(1.0, optimizer.learning_rate(0)) == 1.0
    for value in (3, np.float64(0.5)):
        optimizer.learning_rate = value
        assert optimizer.learning_rate(7) == value
    assigned: list[object] = []

    class Noted(rl.SGD):
        @property
        def learning_rate(self) -> object:
            return rl.SGD.learning_rate.fget(self)

        @learning_rate.setter
        def learning_rate(self, value: object) -> None:
            assigned.append(value)
            rl.SGD.learning_rate.fset(self, value)

    own = Noted(0.1)
    own.learning_rate = 0.2
    assert assigned == [0.1, 0.2]
    assert own.learning_rate(0) == 0.2
