"""The numbers of `explain` on a small example worked out by hand, and beside `Trainer.step`."""

from __future__ import annotations

import numpy as np
import pytest

import relu_layers as rl

TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def trace(golden):
    model, x, y = golden()
    return rl.explain(model, x, y, rl.SoftmaxCrossEntropy(), rl.SGD(0.1)).trace


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE)


def test_forward(trace):
    first, relu, second = trace.layers
    close(first.y, [[1.0, -1.75, 0.0]])
    close(relu.y, [[1.0, -0.175, 0.0]])
    close(second.y, [[1.0125, -1.1875]])
    assert [one.symbol for one in trace.layers] == ["z1", "a1", "z2"]
    assert [one.role for one in trace.layers] == ["dense", "elementwise", "dense"]


def test_loss(trace):
    close(trace.loss.value, 2.305083319768696)
    p = np.exp(1.0125) / (np.exp(1.0125) + np.exp(-1.1875))
    close(trace.loss.probabilities, [[p, 1 - p]])
    close(trace.loss.shifted, [[0.0, -2.2]])
    close(trace.loss.rows, [trace.loss.value])
    close(trace.loss.gradient, [[p, -p]])
    assert trace.loss.plain
    assert trace.loss.after < trace.loss.value


def test_backward(trace):
    first, relu, second = trace.layers
    g = 0.9002495
    p = trace.loss.probabilities[0, 0]
    assert p == pytest.approx(g, abs=1e-6)
    close(second.grads["weight"], [[p, -p], [-0.175 * p, 0.175 * p], [0, 0]])
    close(relu.derivative, [[1.0, 0.1, 0.1]])
    close(relu.dx, [[2 * p, 0.0, 0.4 * p]])
    close(first.dy, relu.dx)
    close(first.grads["weight"], [[2 * p, 0.0, 0.4 * p], [4 * p, 0.0, 0.8 * p]])
    close(first.grads["bias"], [2 * p, 0.0, 0.4 * p])
    assert (relu.counts.active, relu.counts.negative, relu.counts.zero, relu.counts.dead) == (1, 1, 1, 0)


def test_verdicts(trace):
    kinks = {place for place, check in trace.checks.items() if check.verdict == "kink"}
    assert {("0.weight", (0, 2)), ("0.weight", (1, 2)), ("0.bias", (2,))} <= kinks
    assert {name for name, _ in kinks} <= {"0.weight", "0.bias", "x"}
    assert not any(check.verdict == "wrong" for check in trace.checks.values())
    kink = trace.checks["0.weight", (0, 2)]
    assert kink.kink == (1, 2, 0, 0.0)
    close(kink.analytic, trace.layers[0].grads["weight"][0, 2])
    assert trace.checked == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", [rl.SGD(0.1, momentum=0.9), rl.Adam(0.01)], ids=["sgd", "adam"])
def test_the_numbers_are_those_of_the_trainer_bit_for_bit(dtype, optimizer):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((16, 20)).astype(dtype)
    y = rng.integers(0, 5, 16)
    model = rl.Sequential(
        rl.Dense(20, 32), rl.ReLU(0.01), rl.Dropout(0.3), rl.Dense(32, 5), rl.Softmax(), dtype=dtype, rng=4
    )
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), optimizer.__class__(**optimizer.config()))
    trainer.step(x, y)
    before = model.flat_params.copy()
    states = [layer.state() for layer in model.layers if isinstance(layer, rl.Dropout)]
    trace = rl.explain(model, x, y, trainer.loss, trainer.optimizer, gradcheck=False).trace
    assert np.array_equal(model.flat_params, before)
    assert states == [layer.state() for layer in model.layers if isinstance(layer, rl.Dropout)]
    assert trace.loss.value == trainer.step(x, y)
    for update in trace.updates:
        assert np.array_equal(update.gradient, model.grads[update.name])
        assert np.array_equal(update.after, model.params[update.name])
    assert trace.dropped == "Softmax()"


def test_a_layer_of_ones_own_is_explained_as_far_as_it_can_be():
    class Reversed:
        def __init__(self):
            self.params, self.grads = {}, {}

        def forward(self, x, training=False):
            return 2 * x[:, ::-1]

        def backward(self, dy):
            return 2 * dy[:, ::-1]

    model = rl.Sequential(rl.Dense(2, 3), Reversed(), rl.ReLU(), rl.Dense(3, 1), dtype=np.float64, rng=0)
    x, y = rl.data.xor()
    trace = rl.explain(model, x, y).trace
    own = trace.layers[1]
    assert own.role == "other"
    assert np.array_equal(own.dx, 2 * own.dy[:, ::-1])
    assert np.array_equal(own.y, trace.layers[2].x)


def test_the_seeds_program_and_its_corner(xor_net):
    model, x, y, loss, optimizer = xor_net()
    trace = rl.explain(model, x, y, loss, optimizer).trace
    relu = trace.layers[1]
    assert relu.counts.zero == 30  # the row [0, 0], no biases
    assert np.all(relu.x[0] == 0)


def test_arguments_that_do_not_fit(golden):
    model, x, y = golden()
    with pytest.raises(IndexError, match="sample is 1, but x has 1 rows"):
        rl.explain(model, x, y, sample=1)
    with pytest.raises(IndexError, match="unit is 3"):
        rl.explain(model, x, y, unit=3)
    with pytest.raises(TypeError, match="expected a Sequential"):
        rl.explain(3, x, y)
    with pytest.raises(ValueError, match="two inputs"):
        rl.explain(rl.mlp([3, 2, 2], rng=0), np.zeros((1, 3)), y, train=2)


def test_what_is_followed_is_checked_whatever_the_sample():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 64)), rng.integers(0, 10, 4)
    found = rl.explain(rl.mlp([64, 32, 10], rng=0), x, y, sample=2, max_entries=20)
    assert found.trace.checked < 0.02
    verdicts = [one.verdict for one in found.trace.checks.values()]
    assert set(verdicts) <= {"ok", "kink"}
    assert "measured by a small change" in " ".join(str(found).split())


def test_a_wrong_derivative_is_told():
    class Wrong(rl.ReLU):
        def backward(self, dy, *, out=None):
            return super().backward(2 * dy, out=out)

    x, y = rl.data.xor()
    model = rl.Sequential(rl.Dense(2, 4), Wrong(), rl.Dense(4, 1), dtype=np.float64, rng=0)
    found = rl.explain(model, x, y)
    assert any(check.verdict == "wrong" for check in found.trace.checks.values())
    assert "wrong" in str(found)
