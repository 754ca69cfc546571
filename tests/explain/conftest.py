"""Networks that several tests explain."""

from __future__ import annotations

import numpy as np
import pytest

import relu_layers as rl


def golden_net():
    """Return model, x and y: one unit above 0, one below, one exactly 0."""
    model = rl.Sequential(rl.Dense(2, 3), rl.ReLU(0.1), rl.Dense(3, 2), dtype=np.float64)
    model.load_params(
        {
            "0.weight": np.array([[0.5, -1.0, 1.0], [0.25, -0.5, -0.5]]),
            "0.bias": np.array([0.0, 0.25, 0.0]),
            "2.weight": np.array([[1.0, -1.0], [0.5, 0.5], [2.0, -2.0]]),
            "2.bias": np.array([0.1, -0.1]),
        }
    )
    return model, np.array([[1.0, 2.0]]), np.array([1])


def xor_program(hidden=30):
    """Return model, x, y, loss and optimizer: four rows, no biases, the squared errors summed."""
    rng = np.random.default_rng(0)
    model = rl.Sequential(
        rl.Dense(2, hidden, bias=False), rl.ReLU(), rl.Dense(hidden, 1, bias=False), dtype=np.float64
    )
    model.load_params(
        {"0.weight": rng.standard_normal((2, hidden)), "2.weight": rng.standard_normal((hidden, 1))}
    )
    x, y = rl.data.xor()
    return model, x, y, rl.SquaredError(normalization="none"), rl.SGD(0.002)


@pytest.fixture(scope="session")
def golden():
    """The function `golden_net`."""
    return golden_net


@pytest.fixture(scope="session")
def xor_net():
    """The function `xor_program`."""
    return xor_program
