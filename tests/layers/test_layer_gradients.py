"""Every layer against central differences and against its formula written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from relu_layers import layers as rl
from relu_layers.ops import reference

LAYERS = {
    "dense": lambda: rl.Dense(5, 3),
    "dense without bias": lambda: rl.Dense(5, 3, bias=False),
    "relu": lambda: rl.ReLU(),
    "leaky relu": lambda: rl.ReLU(0.01),
    "relu with a negative slope": lambda: rl.ReLU(-0.2),
    "prelu": lambda: rl.PReLU(5),
    "shared prelu": lambda: rl.PReLU(1),
    "elu": lambda: rl.ELU(0.7),
    "sigmoid": lambda: rl.Sigmoid(),
    "silu": lambda: rl.SiLU(),
    "gelu": lambda: rl.GELU(),
    "gelu with tanh": lambda: rl.GELU("tanh"),
    "selu": lambda: rl.SELU(),
    "softplus": lambda: rl.Softplus(),
    "clip": lambda: rl.Clip(-0.5, 0.75),
    "tanh": lambda: rl.Tanh(),
    "threshold": lambda: rl.Threshold(0.2, -0.5),
    "softmax": lambda: rl.Softmax(),
    "softmax over rows": lambda: rl.Softmax(0),
    "log softmax": lambda: rl.LogSoftmax(),
    "log softmax over rows": lambda: rl.LogSoftmax(0),
    "dropout": lambda: rl.Dropout(0.4),
}


def points_off_the_kinks(rng, shape):
    x = rng.uniform(0.05, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
    return np.where(np.abs(x - 0.2) < 0.01, 0.3, x)


def make(name, seed=0):
    layer = LAYERS[name]()
    layer.ops = reference
    if isinstance(layer, rl.ParameterLayer):
        layer.initialize(seed, np.float64)
    return layer


@pytest.mark.parametrize("shape", [(4, 5), (1, 5), (2, 3, 5)])
@pytest.mark.parametrize("name", LAYERS)
def test_backward_agrees_with_central_differences(name, shape, numerical_gradient):
    rng = np.random.default_rng(3)
    layer = make(name)
    x = points_off_the_kinks(rng, shape)
    state = layer.state() if isinstance(layer, rl.Dropout) else None
    dy = rng.standard_normal(layer.output_shape(shape))

    def value():
        if state is not None:
            layer.load_state(state)
        return float(np.sum(dy * layer.forward(x, training=True)))

    value()
    dx = layer.backward(dy)
    grads = {key: grad.copy() for key, grad in layer.grads.items()}
    numerical = numerical_gradient(value, x)
    assert dx.shape == x.shape
    assert np.abs(dx - numerical).max() <= 1e-8 * max(np.abs(numerical).max(), 1.0)
    for key, grad in grads.items():
        numerical = numerical_gradient(value, layer.params[key])
        assert np.abs(grad - numerical).max() <= 1e-8 * np.abs(numerical).max()


@pytest.mark.parametrize("name", LAYERS)
def test_out_takes_the_same_result(name):
    rng = np.random.default_rng(4)
    plain, given = make(name), make(name)
    if isinstance(plain, rl.Dropout):
        given.load_state(plain.state())
    x = rng.standard_normal((6, 5))
    y = plain.forward(x, training=True)
    y_out = np.full(given.output_shape(x.shape), np.nan)
    assert given.forward(x, training=True, out=y_out) is y_out
    np.testing.assert_array_equal(y_out, y)
    dy = rng.standard_normal(y.shape)
    dx_out = np.full(x.shape, np.nan)
    assert given.backward(dy, out=dx_out) is dx_out
    np.testing.assert_array_equal(dx_out, plain.backward(dy))
    for key in plain.grads:
        np.testing.assert_array_equal(given.grads[key], plain.grads[key])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("before", ["nothing", "inference", "backward"])
def test_backward_without_a_training_forward_is_an_error(name, before):
    layer = make(name)
    x = np.ones((2, 5))
    dy = np.ones(layer.output_shape(x.shape))
    if before != "nothing":
        layer.forward(x, training=True)
    if before == "inference":
        layer.forward(x)
    elif before == "backward":
        layer.backward(dy)
    with pytest.raises(RuntimeError, match="forward\\(x, training=True\\)"):
        layer.backward(dy)


@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_dy_leaves_the_pass_usable(name):
    layer = make(name)
    x = np.linspace(-1, 1, 10).reshape(2, 5)
    y = layer.forward(x, training=True)
    if not isinstance(layer, rl.Dropout):  # which needs nothing of x, so it cannot tell
        with pytest.raises(ValueError):
            layer.backward(np.ones((3, 7)))
    assert layer.backward(np.ones_like(y)).shape == x.shape


@pytest.mark.parametrize("name", LAYERS)
def test_empty_batches_pass(name):
    layer = make(name)
    x = np.empty((0, 5))
    y = layer.forward(x, training=True)
    assert y.shape == layer.output_shape(x.shape)
    assert layer.backward(y.copy()).shape == x.shape
    assert all((grad == 0).all() for grad in layer.grads.values())


@pytest.mark.parametrize("name", ["dense", "dense without bias", "prelu"])
def test_need_dx_false_still_fills_the_gradients(name):
    a, b = make(name), make(name)
    x = np.random.default_rng(0).standard_normal((4, 5))
    dy = np.ones_like(a.forward(x, training=True))
    b.forward(x, training=True)
    a.backward(dy)
    assert b.backward(dy, need_dx=False) is None
    for key in a.grads:
        np.testing.assert_array_equal(a.grads[key], b.grads[key])
