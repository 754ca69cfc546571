"""A user's layer that is made of built-in ones: it trains, or building the model says why it would not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.ops import reference


class Residual:
    """x + relu(dense(x))"""

    def __init__(self, features: int = 4) -> None:
        self.dense, self.relu = rl.Dense(features, features), rl.ReLU(0.1)
        self.layers = (self.dense, self.relu)

    def forward(self, x: Any, training: bool = False) -> Any:
        return x + self.relu.forward(self.dense.forward(x, training), training)

    def backward(self, dy: Any) -> Any:
        return dy + self.dense.backward(self.relu.backward(dy))


class Gated:
    """sigmoid(gate(x)) * value(x) * scale, with a parameter of its own"""

    def __init__(self) -> None:
        self.layers = rl.Dense(4, 4), rl.Sigmoid(), rl.Dense(4, 4, bias=False)
        self.params, self.grads = {"scale": np.array([1.5])}, {"scale": np.zeros(1)}

    def forward(self, x: Any, training: bool = False) -> Any:
        gate, sigmoid, value = self.layers
        self.gate, self.value = (
            sigmoid.forward(gate.forward(x, training), training),
            value.forward(x, training),
        )
        return self.gate * self.value * self.params["scale"]

    def backward(self, dy: Any) -> Any:
        gate, sigmoid, value = self.layers
        self.grads["scale"][...] = np.sum(dy * self.gate * self.value)
        dy = dy * self.params["scale"]
        return gate.backward(sigmoid.backward(dy * self.value)) + value.backward(dy * self.gate)


class Managed(Residual):
    """The same block, taking a model's buffers."""

    def forward(self, x: Any, training: bool = False, *, out: Any = None) -> Any:
        return np.add(0.0, super().forward(x, training), out=out)

    def backward(self, dy: Any, *, out: Any = None) -> Any:
        return np.add(0.0, super().backward(dy), out=out)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


RNG = np.random.default_rng(0)
X, DY = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2))


def network(block: Any, ops: Any = None) -> rl.Sequential:
    return rl.Sequential(rl.Dense(4, 4), block, rl.Dense(4, 2), dtype=np.float64, rng=0, ops=ops)


@pytest.mark.parametrize("ops", [None, reference])
@pytest.mark.parametrize("kind", [Residual, Gated, Managed])
def test_inner_layers_are_parameters_of_the_model(kind: Any, ops: Any, numerical_gradient: Any) -> None:
    model = network(kind(), ops)
    assert "1.0.weight" in model.params
    assert np.shares_memory(model.params["1.0.weight"], model.flat_params)
    assert all(layer.ops is model.ops for layer in model[1].layers)

    def value() -> float:
        return float(np.sum(DY * model(X)))

    model.forward(X, training=True)
    dx = model.backward(DY)
    grads = model.flat_grads.copy()
    numerical = numerical_gradient(value, model.flat_params)
    assert np.abs(grads - numerical).max() <= 1e-8 * np.abs(numerical).max()
    assert dx.shape == X.shape
    model.forward(X, training=True)
    model.backward(DY, accumulate=True)
    np.testing.assert_allclose(model.flat_grads, 2 * grads, rtol=1e-12)


@pytest.mark.parametrize("kind", [Residual, Gated, Managed])
def test_inner_layers_train_copy_and_save(kind: Any, tmp_path: Path) -> None:
    model = network(kind())
    trainer = rl.Trainer(model, rl.SquaredError(), rl.Adam(0.01, multipliers={"1.0.bias": (2.0, 1.0)}))
    before = model.flat_params.copy()
    losses = [trainer.step(X, DY) for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]
    assert np.all(model.flat_params != before)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin(X), model(X))
    twin.params["1.0.weight"][...] = 0.0
    assert np.any(model.params["1.0.weight"])
    assert not np.any(twin[1].layers[0].params["weight"])
    other = network(kind())
    other.load_params(model.params)
    np.testing.assert_array_equal(other(X), model(X))
    trainer.save_checkpoint(tmp_path / "t.npz")
    again = rl.Trainer.restore(tmp_path / "t.npz", model=network(kind()))
    assert again.step(X, DY) == trainer.step(X, DY)
    assert again.model.flat_params.tobytes() == model.flat_params.tobytes()
    assert "0.weight (4, 4)" in model.summary()


def test_initial_values_come_from_the_models_generator() -> None:
    first, second = network(Residual()), network(Residual())
    assert first.flat_params.tobytes() == second.flat_params.tobytes()


class Holding:
    """A layer that holds others in an attribute."""

    def __init__(self, held: Any) -> None:
        self.held, self.params, self.grads = held, {}, {}

    def forward(self, x: Any, training: bool = False) -> Any:
        return x

    def backward(self, dy: Any) -> Any:
        return dy


@pytest.mark.parametrize("hold", [lambda d: d, lambda d: [d], lambda d: (d,), lambda d: {"a": d}])
def test_a_layer_that_would_not_be_trained_is_refused(hold: Any) -> None:
    with pytest.raises(ValueError, match=r"holds Dense\(4, 4\) in its attribute 'held', which would not be"):
        network(Holding(hold(rl.Dense(4, 4))))
    network(Holding(hold(rl.ReLU())))  # has nothing to train


def naming(*layers: Any) -> Any:
    block: Any = Residual()
    block.__dict__ = {"layers": layers}
    return block


def test_what_cannot_be_an_inner_layer() -> None:
    with pytest.raises(TypeError, match="expected built-in layers"):
        network(naming(Residual()))
    with pytest.raises(TypeError, match="make Dropout a layer of the model"):
        network(naming(rl.Dropout(0.5)))
    dense = rl.Dense(4, 4)
    with pytest.raises(ValueError, match="appears twice"):
        network(naming(dense, dense))
    block = Residual()
    with pytest.raises(ValueError, match="appears twice"):
        rl.Sequential(block, naming(*block.layers), dtype=np.float64)
    for order in (1, -1):  # within a block and beside it, whichever comes first
        shared = rl.Dense(4, 4)
        with pytest.raises(ValueError, match="appears twice"):
            rl.Sequential(*(naming(shared), shared)[::order], dtype=np.float64)
    block = Residual()
    kept = network(block)
    with pytest.raises(ValueError, match=r"Dense\(4, 4\) belongs to another model"):
        network(naming(*block.layers))
    assert kept is not None
