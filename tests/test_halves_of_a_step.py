"""Steps that call Python between replays: a callable loss, a subclass, a callback before the update. The same bits."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 3))
WEIGHT = RNG.random(12)


def squares(y: Any, target: Any, sample_weight: Any = None) -> tuple[float, Any]:
    d = y - target
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    return float((weight[:, None] * d * d).sum()), 2 * weight[:, None] * d


class Doubled(rl.SquaredError):
    """A subclass may do anything."""

    def __call__(self, y: Any, target: Any, **options: Any) -> tuple[float, Any]:
        value, dy = super().__call__(y, target, **options)
        return 2 * value, 2 * dy


class Halved(rl.Callback):
    """Changes the gradients between backward and update."""

    def on_gradients_ready(self, trainer: rl.Trainer) -> None:
        trainer.model.flat_grads *= 0.5


KINDS: dict[str, Any] = {
    "callable": lambda: (squares, ()),
    "subclass": lambda: (Doubled(), ()),
    "callback": lambda: (rl.SquaredError(), Halved()),
    "columns and callback": lambda: (rl.Huber(), Halved()),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"clip_norm": 0.01},
    "accumulated": {"accumulate": 2},
    "penalized": {"l2_penalty": 0.1},
}


def made(kind: str, capture: bool, **settings: Any) -> rl.Trainer:
    loss, callbacks = KINDS[kind]()
    layers = rl.Dense(4, 8), rl.ReLU(0.1), rl.Dropout(0.3), rl.Dense(8, 3)
    model = rl.Sequential(*layers, dtype=np.float64, rng=0)
    return rl.Trainer(model, loss, rl.Adam(0.01), callbacks=callbacks, rng=1, capture=capture, **settings)


def target_of(kind: str) -> Any:
    return (np.arange(12) % 3, Y[:, 0].copy()) if kind.startswith("columns") else Y


def layers_run(trainer: rl.Trainer, kind: str) -> int:
    """Return how many layers a step runs in Python, forward and backward."""
    found = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and "/layers/" in frame.f_code.co_filename.replace("\\", "/"):
            found.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        trainer.step(X, target_of(kind))
    finally:
        sys.setprofile(None)
    return sum(name in ("forward", "backward") for name in found)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_are_those_of_the_layers(kind: str, settings: str) -> None:
    pair = [made(kind, capture, **SETTINGS[settings]) for capture in (False, True)]
    for number in range(10):
        weight = WEIGHT if number % 3 == 2 else None
        rows = slice(0, 12 if number % 4 else 7)
        target = target_of(kind)
        part = tuple(a[rows] for a in target) if isinstance(target, tuple) else target[rows]
        one, other = (each.step(X[rows], part, None if weight is None else weight[rows]) for each in pair)
        assert one == other
    for name in ("flat_params", "flat_grads"):
        assert getattr(pair[0].model, name).tobytes() == getattr(pair[1].model, name).tobytes()
    assert pair[0].model(X).tobytes() == pair[1].model(X).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_fourth_step_on_no_layer_runs_in_python(kind: str) -> None:
    trainer = made(kind, True)
    counts = [layers_run(trainer, kind) for _ in range(6)]
    assert counts[0] > 0
    assert counts[4:] == [0, 0]
    trainer.model.layers[1].negative_slope = 0.2
    assert layers_run(trainer, kind) > 0
    assert layers_run(made(kind, False), kind) > 0


@pytest.mark.parametrize("capture", [False, True])
def test_a_loss_that_raises_leaves_everything_and_no_pass_behind(capture: bool) -> None:
    trainer = made("callable", capture)
    for _ in range(5):
        trainer.step(X, Y)
    before = trainer.model.flat_params.copy(), trainer.model.layers[2].state_dict()

    def fails(y: Any, target: Any) -> Any:
        raise KeyError("mine")

    trainer.loss = fails
    for _ in range(4):
        with pytest.raises(KeyError, match="mine"):
            trainer.step(X, Y)
    assert trainer.model.flat_params.tobytes() == before[0].tobytes()
    assert trainer.model.layers[2].state_dict() == before[1]
    with pytest.raises(RuntimeError, match="backward must follow forward"):
        trainer.model.backward(Y)
    trainer.loss = squares
    assert np.isfinite(trainer.step(X, Y))


def test_what_the_loss_returns_is_checked_with_the_same_words() -> None:
    for wrong, error in (
        (lambda y, target: (1.0, np.zeros((12, 2))), ValueError),
        (lambda y, target: (1.0, None), ValueError),
        (lambda y, target: (float("nan"), np.zeros((12, 3))), rl.DivergenceError),
    ):
        words = []
        for capture in (False, True):
            trainer = made("callable", capture)
            for _ in range(5):
                trainer.step(X, Y)
            trainer.loss = wrong
            with pytest.raises(error) as caught:
                trainer.step(X, Y)
            words.append(str(caught.value).split(" returned ")[-1])
            assert trainer.steps == 5
        assert words[0] == words[1]


def test_a_loss_may_run_the_model_itself() -> None:
    pair = []
    for capture in (False, True):
        trainer = made("callable", capture)
        model = trainer.model

        def through_it(y: Any, target: Any, model: Any = model) -> tuple[float, Any]:
            model.input_gradient(X, Y)
            model.run(X)
            return squares(y, target)

        trainer.loss = through_it
        pair.append([trainer.step(X, Y) for _ in range(6)])
    assert pair[0] == pair[1]


def test_frozen_layers_keep_their_gradients() -> None:
    pair = [made("callable", capture) for capture in (False, True)]
    for trainer in pair:
        for _ in range(5):
            trainer.step(X, Y)
        trainer.optimizer.multipliers = {"0.weight": (0, 0), "0.bias": (0, 0)}
        trainer.model.grads["0.weight"][:] = 7.0
        for _ in range(4):
            trainer.step(X, Y)
        assert (trainer.model.grads["0.weight"] == 7.0).all()
    assert pair[0].model.flat_params.tobytes() == pair[1].model.flat_params.tobytes()
