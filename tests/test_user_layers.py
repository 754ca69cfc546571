"""Layers of a user's own, with nothing but the plain protocol."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from relu_layers import layers as rl
from relu_layers.model import Sequential
from relu_layers.ops import reference


class Scale:
    """y = scale * x; assigns new arrays to grads, as hand-written layers do."""

    def __init__(self, features, dtype=np.float64):
        self.scale = np.full(features, 2.0, dtype)
        self.params = {"scale": self.scale}
        self.grads = {}

    def forward(self, x, training=False):
        if training:
            self.x = x
        return x * self.params["scale"]

    def backward(self, dy):
        self.grads["scale"] = (dy * self.x).sum(axis=0)
        return dy * self.params["scale"]


class Identity:
    """Returns the very arrays it gets."""

    def __init__(self):
        self.params, self.grads = {}, {}

    def forward(self, x, training=False):
        return x

    def backward(self, dy):
        return dy


class Odd(Identity):
    """Returns whatever it was told to."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, training=False):
        return self.function(x)


class Square(rl.Layer):
    """An elementwise layer on the package's base class, without ``out``."""

    def forward(self, x, training=False):
        self._saved = x if training else None
        return x * x

    def backward(self, dy):
        return 2 * self._kept() * dy


class Twice(rl.Layer):
    """Puts x beside itself."""

    def forward(self, x, training=False):
        return np.concatenate([x, x], axis=-1)

    def backward(self, dy):
        half = dy.shape[-1] // 2
        return dy[..., :half] + dy[..., half:]


def build(*layers, dtype=np.float64):
    return Sequential(*layers, dtype=dtype, rng=0, ops=reference)


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((6, 5))


def test_parameters_move_into_the_flat_arrays(x):
    scale = Scale(4)
    model = build(rl.Dense(5, 4), scale, rl.ReLU(), rl.Dense(4, 3))
    assert list(model.params) == ["0.weight", "0.bias", "1.scale", "3.weight", "3.bias"]
    assert scale.params["scale"] is model.params["1.scale"] is scale.scale
    assert (model.params["1.scale"] == 2).all()
    before = model(x)
    model.params["1.scale"] *= -1
    assert not np.array_equal(model(x), before)


def test_gradients_agree_with_central_differences(x, numerical_gradient):
    model = build(rl.Dense(5, 4), Scale(4), Identity(), Square(), rl.Dense(4, 3), Scale(3), Identity())
    dy = np.random.default_rng(2).standard_normal((6, 3))

    def value():
        return float(np.sum(dy * model.forward(x, training=True)))

    value()
    dx = model.backward(dy)
    grads = model.flat_grads.copy()
    assert model.layers[1].grads["scale"] is model.grads["1.scale"]
    for found, at in ((grads, model.flat_params), (dx, x)):
        numerical = numerical_gradient(value, at)
        assert np.abs(found - numerical).max() <= 1e-8 * np.abs(numerical).max()
    model._passes.forward(x, 7)
    model.flat_grads[...] = np.nan
    model._passes.backward(dy, 7, need_dx=False)
    np.testing.assert_array_equal(model.flat_grads, grads)


def test_a_parameter_that_the_layer_rebinds_is_taken_over(x):
    model = build(Scale(5))
    model.layers[0].params["scale"] = np.full(5, 3.0)
    np.testing.assert_array_equal(model(x), 3 * x)
    np.testing.assert_array_equal(model.flat_params, np.full(5, 3.0))
    assert model.layers[0].params["scale"] is model.params["0.scale"]


def test_a_layer_may_change_the_number_of_features(x):
    model = build(rl.Dense(5, 4), Twice(), rl.Dense(8, 3))
    assert model(x).shape == (6, 3)
    assert "?" in model.summary().splitlines()[3]


@pytest.mark.parametrize("layers", [[Identity()], [rl.Dense(5, 3), Identity()], [Identity(), Identity()]])
def test_results_are_new_arrays_whatever_the_layer_returns(x, layers):
    model = build(*copy.deepcopy(layers))
    first, second = model(x), model(x)
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, x)
    y = model.forward(x, training=True)
    dy = np.ones_like(y)
    assert not np.shares_memory(model.backward(dy), dy)
    out = np.empty_like(first)
    assert model(x, out=out) is out
    np.testing.assert_array_equal(out, first)
    with pytest.raises(ValueError, match="out"):
        model(x, out=np.empty((1, 1)))


def test_a_result_of_the_wrong_dtype_names_the_layer(x):
    with pytest.raises(TypeError, match=r"float64, expected a float32 array \(layer 0"):
        build(Odd(lambda a: a.astype(float)), dtype=np.float32)(x.astype(np.float32))
    with pytest.raises(TypeError, match="returned list"):
        build(Odd(lambda a: a.tolist()))(x)


def test_errors_of_other_kinds_keep_their_type_and_note_the_layer(x):
    class OwnError(ValueError):
        def __init__(self, code, detail):
            super().__init__(code, detail)

    def fail(_):
        raise OwnError(1, "broken")

    with pytest.raises(OwnError) as caught:
        build(rl.ReLU(), Odd(fail))(x)
    assert any("layer 1" in note for note in caught.value.__notes__)


def test_parameters_of_another_dtype_are_refused():
    with pytest.raises(TypeError, match=r"parameter 'scale' of layer 0.*float64 but the model is float32"):
        build(Scale(5), dtype=np.float32)
    assert build(Scale(5, np.float32)).flat_params.dtype == np.float64


def test_a_gradient_of_another_shape_is_refused(x):
    class Wrong(Scale):
        def backward(self, dy):
            self.grads["scale"] = dy * self.x
            return dy

    model = build(Wrong(5))
    model.forward(x, training=True)
    with pytest.raises(ValueError, match=r"'scale' has shape \(6, 5\), expected \(5,\) \(layer 0"):
        model.backward(x)


def test_params_that_do_not_keep_arrays_are_refused():
    class Fresh(Scale):
        params = property(lambda self: {"scale": np.ones(5)}, lambda self, value: None)

    with pytest.raises(TypeError, match="let params and grads be dicts"):
        build(Fresh(5))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_bind_the_users_arrays_again(x, duplicate):
    model = build(rl.Dense(5, 4), Scale(4))
    twin = duplicate(model)
    np.testing.assert_array_equal(twin(x), model(x))
    twin.params["1.scale"][...] = 0
    assert (twin(x) == 0).all()
    assert twin.layers[1].scale is twin.params["1.scale"]
    assert not (model(x) == 0).all()
