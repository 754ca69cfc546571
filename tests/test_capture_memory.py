"""Captured steps: memory that training writes is never input, and rates change from update to update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

BATCH, INPUTS, OUTPUTS = 4, 6, 3


def trainer(rate: Any = 0.05, capture: bool = True, loss: Any = None) -> rl.Trainer:
    model = rl.Sequential(rl.Dense(INPUTS, 8), rl.ReLU(), rl.Dense(8, OUTPUTS), rng=0)
    return rl.Trainer(model, loss or rl.SquaredError(), rl.SGD(rate, momentum=0.9), rng=1, capture=capture)


def rows(count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((count, INPUTS)).astype(np.float32)
    return x, rng.standard_normal((count, OUTPUTS)).astype(np.float32)


@pytest.mark.parametrize("warm", [0, 5])
def test_gradients_are_no_minibatch(warm: int) -> None:
    each = trainer()
    x, target = rows(BATCH)
    for _ in range(warm):
        each.step(x, target)
    before = each.model.flat_params.tobytes(), each.steps
    with pytest.raises(ValueError, match="shares memory"):
        each.step(each.model.flat_grads[: x.size].reshape(x.shape), target)
    assert (each.model.flat_params.tobytes(), each.steps) == before


def test_gradients_as_targets_are_those_before_the_step() -> None:
    found = []
    for capture in (False, True):
        each = trainer(capture=capture)
        x, target = rows(BATCH)
        for _ in range(5):
            each.step(x, target)
        gradients = each.model.flat_grads[: target.size].reshape(target.shape)
        losses = [each.step(x, gradients) for _ in range(3)]
        found.append((losses, each.model.flat_params.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_fit_on_its_own_gradients_is_that_of_the_layers(shuffle: bool) -> None:
    """Whatever comes of it, an error or numbers: the same with and without capture."""
    found = []
    for capture in (False, True):
        each = trainer(capture=capture)
        x, target = rows(BATCH)
        each.fit(x, target, epochs=3, batch_size=2)
        gradients = each.model.flat_grads[: 4 * INPUTS].reshape(4, INPUTS)
        try:
            each.fit(gradients, target, epochs=3, batch_size=2, shuffle=shuffle)
            outcome = "trained"
        except ValueError as error:
            outcome = str(error)
        found.append((outcome, each.model.flat_params.tobytes(), each.steps))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "schedule",
    [
        lambda: rl.schedules.Step(0.05, 0.5, 3),
        lambda: rl.schedules.Cosine(0.05, 60),
        lambda: rl.schedules.Exponential(0.05, 0.9),
        lambda: lambda updates: 0.05 / (1 + updates),
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_rate_changes_within_a_stretch(schedule: Callable[[], Any], shuffle: bool) -> None:
    """One call of `fit` without callbacks runs many updates in one go: each has the rate of its own number."""
    x, target = rows(80)
    found = []
    for capture in (False, True):
        each = trainer(schedule(), capture)
        each.fit(x, target, epochs=2, batch_size=BATCH, shuffle=shuffle)
        found.append(each.model.flat_params.tobytes())
    assert found[0] == found[1]
    still = trainer(schedule()(0))
    still.fit(x, target, epochs=2, batch_size=BATCH, shuffle=shuffle)
    assert still.model.flat_params.tobytes() != found[0]


def test_other_threads_run_beside_a_long_fit() -> None:
    """A stretch that takes long runs without the GIL."""
    import threading

    rng = np.random.default_rng(0)
    x = rng.standard_normal((512, 200)).astype(np.float32)
    model = rl.mlp([200, 400, 400, 10], rng=0)
    each = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.01), rng=1)
    labels = rng.integers(0, 10, 512)
    each.fit(x, labels, epochs=1, batch_size=64)
    seen: list[int] = []
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            seen.append(each.steps)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(20):
            each.fit(x, labels, epochs=2, batch_size=64)
    finally:
        stop.set()
        thread.join()
    inside = {steps for steps in seen if steps % 8}
    assert len(inside) > 2
