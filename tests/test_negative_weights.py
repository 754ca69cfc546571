"""Negative sample weights: the policy gradient where a number of rows divides, an error where their sum would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.ops import native, reference

RNG = np.random.default_rng(0)
X, ACTIONS = RNG.normal(size=(8, 4)), np.arange(8) % 2
ADVANTAGES = np.linspace(-1, 1, 8)
LOSSES = {
    "softmax": (rl.SoftmaxCrossEntropy, ACTIONS),
    "sigmoid": (rl.SigmoidCrossEntropy, RNG.uniform(size=(8, 2))),
    "squared": (rl.SquaredError, RNG.normal(size=(8, 2))),
}


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("normalization", ["full", "batch_size", "none"])
def test_a_step_with_advantages_is_the_policy_gradient(normalization: str, capture: bool) -> None:
    model = rl.mlp([4, 8, 2], dtype=np.float64, rng=0)
    trainer = rl.Trainer(
        model, rl.SoftmaxCrossEntropy(normalization=normalization), rl.SGD(0.1), capture=capture
    )
    divisor = 1 if normalization == "none" else 8
    for _ in range(4):
        z = model(X)
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        dz = (p - np.eye(2)[ACTIONS]) * ADVANTAGES[:, None] / divisor
        twin = model.copy()
        twin.run(X).backward(dz)
        trainer.step(X, ACTIONS, sample_weight=ADVANTAGES)
        np.testing.assert_allclose(model.flat_params, twin.flat_params - 0.1 * twin.flat_grads, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("namespace", [native, reference])
def test_a_mean_by_the_sum_of_weights_refuses_them(name: str, namespace: Any) -> None:
    kind, target = LOSSES[name]
    loss = kind(normalization="valid")
    loss.use(namespace)
    weight = np.ones(8)
    weight[[3, 5]] = -0.5
    out = np.full((8, 2), 7.0)
    with pytest.raises(ValueError, match=r"sample_weight\[3\] is -0\.5.*divided by the sum"):
        loss(RNG.normal(size=(8, 2)), target, sample_weight=weight, out=out)
    np.testing.assert_array_equal(out, 7.0)
    weight[[3, 5]] = [0.0, -0.0]
    assert np.isfinite(loss(RNG.normal(size=(8, 2)), target, sample_weight=weight)[0])


@pytest.mark.parametrize("capture", [False, True])
def test_a_captured_step_refuses_them_and_changes_nothing(capture: bool) -> None:
    trainer = rl.Trainer(
        rl.mlp([4, 8, 2], dtype=np.float64, rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.1), capture=capture
    )
    weight = np.ones(8)
    for _ in range(4):
        trainer.step(X, ACTIONS, sample_weight=weight)
    before = trainer.model.flat_params.copy()
    with pytest.raises(ValueError, match=r"sample_weight\[0\] is -1"):
        trainer.step(X, ACTIONS, sample_weight=ADVANTAGES)
    assert trainer.model.flat_params.tobytes() == before.tobytes()
    assert trainer.optimizer.updates == trainer.steps == 4
    assert np.isfinite(trainer.step(X, ACTIONS, sample_weight=weight))
