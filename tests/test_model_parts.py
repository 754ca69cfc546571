"""Copies of a model, models that follow another, and parts that share its arrays."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype(np.float32)


def network(seed: int = 0, **options: Any) -> rl.Sequential:
    layers = [rl.Dense(4, 8), rl.ReLU(), rl.Dense(8, 3), rl.Tanh(), rl.PReLU(3), rl.Dense(3, 4)]
    return rl.Sequential(*layers, rng=seed, **options)


def test_a_copy_is_independent() -> None:
    model = network()
    twin = model.copy()
    assert twin(X).tobytes() == model(X).tobytes()
    twin.flat_params[:] = 0
    assert np.any(model.flat_params)


def test_blending_follows_another_model() -> None:
    target, model = network(1), network(2)
    start, goal = target.flat_params.copy(), model.flat_params.copy()
    target(X), target(X), target(X)
    target.blend(model, 0.25)
    np.testing.assert_allclose(target.flat_params, 0.75 * start + 0.25 * goal, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(model.flat_params, goal)
    before = target.flat_params.copy()
    target.blend(model, 0)
    assert target.flat_params.tobytes() == before.tobytes()
    target.blend(model, 1)
    assert target.flat_params.tobytes() == goal.tobytes()
    assert target(X).tobytes() == model(X).tobytes()
    alive = target.run(X)
    target.blend(network(3), 0.5)
    with pytest.raises(RuntimeError, match="updated in between"):
        alive.backward(np.ones((6, 4), np.float32))


@pytest.mark.parametrize(
    ("other", "share", "error", "words"),
    [
        (network(), 1.5, ValueError, "share is 1.5"),
        (network(), -0.1, ValueError, r"share is -0\.1"),
        (rl.mlp([4, 2]), 0.5, ValueError, "names, shapes or dtype"),
        (network(dtype=np.float64), 0.5, ValueError, "names, shapes or dtype"),
        (np.zeros(3), 0.5, TypeError, "expected a Sequential"),
    ],
)
def test_what_cannot_be_blended(other: Any, share: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        network().blend(other, share)


def test_a_part_shares_the_arrays() -> None:
    model = network()
    encoder, decoder = model.part(0, 3), model.part(3, 6)
    assert list(decoder.params) == ["1.slope", "2.weight", "2.bias"]
    code = encoder(X)
    assert decoder(code).tobytes() == model(X).tobytes()
    dy = RNG.normal(size=(6, 4)).astype(np.float32)
    model.run(X).backward(dy)
    grads = model.flat_grads.copy()
    model.flat_grads[:] = 0
    first = encoder.run(X)
    second = decoder.run(first.y)
    first.backward(second.backward(dy), need_dx=False)
    assert model.flat_grads.tobytes() == grads.tobytes()
    optimizer = rl.SGD(0.1)
    optimizer.bind(encoder)
    before = {key: array.copy() for key, array in model.params.items()}
    alive = model.run(X)
    optimizer.update()
    moved = {key for key, array in model.params.items() if not np.array_equal(array, before[key])}
    assert moved == {"0.weight", "0.bias", "2.weight", "2.bias"}
    with pytest.raises(RuntimeError, match="updated in between"):
        alive.backward(dy)
    for _ in range(3):
        assert encoder(X).tobytes() != code.tobytes()
    assert decoder(encoder(X)).tobytes() == model(X).tobytes()
    twin = copy.deepcopy(encoder)
    twin.flat_params[:] = 0
    assert np.any(encoder.flat_params)
    assert model.part(-1, 6)(code).shape == (6, 4)
    with pytest.raises(ValueError, match="no layers from 3 to 3"):
        model.part(3, 3)


def test_a_part_trains_the_whole() -> None:
    model = network()
    trainer = rl.Trainer(model.part(0, 3), rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
    head = model.params["5.weight"].copy()
    labels = np.arange(6) % 3
    losses = [trainer.step(X, labels) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    assert model.params["5.weight"].tobytes() == head.tobytes()
    assert model.part(0, 3)(X).tobytes() == trainer.model(X).tobytes()
