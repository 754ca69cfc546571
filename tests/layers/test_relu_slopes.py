"""The ReLU of any slope between other layers: where two ops run as one, the gradient is still that of the formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl

SLOPES = (0.0, 0.25, 1.0, -0.25, -1.0, -3.0)


def gradients(slope: float, ops: Any = None) -> tuple[Any, Any, Any]:
    """Return y, dx and all gradients of a network with the ReLU behind a product, computed by ``ops``."""
    layers = [rl.Dense(5, 7), rl.ReLU(slope), rl.Dense(7, 6), rl.ReLU(slope), rl.Dense(6, 3)]
    model = rl.Sequential(*layers, dtype=np.float64, rng=0, ops=ops)
    rng = np.random.default_rng(1)
    y = model.forward(rng.standard_normal((9, 5)), training=True)
    return y, model.backward(rng.standard_normal((9, 3))), model.flat_grads.copy()


@pytest.mark.parametrize("slope", SLOPES)
def test_gradients_are_those_of_the_reference(slope: float) -> None:
    for ours, theirs in zip(gradients(slope), gradients(slope, rl.ops.reference), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("slope", SLOPES)
def test_gradients_are_those_of_differences(slope: float) -> None:
    rng = np.random.default_rng(2)
    model = rl.Sequential(rl.Dense(4, 6), rl.ReLU(slope), rl.Dense(6, 3), rng=3)
    report = rl.gradcheck(model, rng.standard_normal((5, 4)), rng.integers(0, 3, 5), rl.SoftmaxCrossEntropy())
    assert report, str(report)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("capture", [False, True])
def test_training_follows_the_formula(slope: float, capture: bool) -> None:
    """A few steps against the same network in plain NumPy ops, captured and not."""
    rng = np.random.default_rng(4)
    x, target = rng.standard_normal((8, 5)), rng.standard_normal((8, 2))
    found = []
    for ops in (None, rl.ops.reference):
        model = rl.Sequential(
            rl.Dense(5, 6), rl.ReLU(slope), rl.Dense(6, 2), dtype=np.float64, rng=0, ops=ops
        )
        trainer = rl.Trainer(model, rl.SquaredError(), rl.SGD(0.01), capture=capture)
        for _ in range(6):
            trainer.step(x, target)
        found.append(model.flat_params.copy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10, atol=1e-12)
