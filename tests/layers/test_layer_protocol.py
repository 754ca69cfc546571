"""What all layers share: configuration, repr, parameters, copies, refusals."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

from relu_layers import initializers
from relu_layers import layers as rl
from relu_layers.ops import reference


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (rl.Dense(3, 2), "Dense(3, 2)"),
        (rl.Dense(3, 2, bias=False, weight_init="zeros"), "Dense(3, 2, bias=False, weight_init='zeros')"),
        (rl.Dense(3, 2, bias_init=0.5), "Dense(3, 2, bias_init=0.5)"),
        (rl.ReLU(), "ReLU()"),
        (rl.ReLU(0.01), "ReLU(0.01)"),
        (rl.PReLU(4), "PReLU(4)"),
        (rl.PReLU(4, slope_init=0.1), "PReLU(4, slope_init=0.1)"),
        (rl.ELU(), "ELU()"),
        (rl.Sigmoid(), "Sigmoid()"),
        (rl.SiLU(), "SiLU()"),
        (rl.GELU(), "GELU()"),
        (rl.GELU("tanh"), "GELU('tanh')"),
        (rl.SELU(), "SELU()"),
        (rl.Softplus(), "Softplus()"),
        (rl.Clip(), "Clip()"),
        (rl.Clip(-1, 1), "Clip(-1.0, 1.0)"),
        (rl.Tanh(), "Tanh()"),
        (rl.Threshold(1, 2), "Threshold(1.0, 2.0)"),
        (rl.Softmax(), "Softmax()"),
        (rl.Softmax(0), "Softmax(0)"),
        (rl.LogSoftmax(), "LogSoftmax()"),
        (rl.LogSoftmax(1), "LogSoftmax(1)"),
        (rl.Dropout(0.5), "Dropout(0.5)"),
    ],
)
def test_config_and_repr_rebuild_the_layer(layer, text):
    assert repr(layer) == text
    config = json.loads(json.dumps(layer.config()))
    rebuilt = rl.BUILT_IN[type(layer).__name__](**config)
    assert repr(rebuilt) == text
    assert rebuilt.config() == layer.config()
    assert repr(eval(text, vars(rl))) == text


def test_the_registry_names_every_layer_of_the_package():
    public = {name for name in rl.__all__ if isinstance(getattr(rl, name), type)}
    assert set(rl.BUILT_IN) == public - {"Layer", "LayerLike", "Parameter", "ParameterLayer"}


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: rl.Dense(0, 3), ValueError, "in_features is 0"),
        (lambda: rl.Dense(3, 2.0), TypeError, "out_features is 2.0"),
        (lambda: rl.Dense(True, 2), TypeError, "in_features is True"),
        (lambda: rl.Dense(3, 2, bias="no"), TypeError, "bias is 'no'"),
        (lambda: rl.Dense(3, 2, weight_init="he_norm"), ValueError, "did you mean 'he_normal'"),
        (lambda: rl.ReLU(float("nan")), ValueError, "negative_slope is nan"),
        (lambda: rl.ReLU("0.1"), TypeError, "negative_slope is '0.1'"),
        (lambda: rl.ELU(float("inf")), ValueError, "alpha is inf"),
        (lambda: rl.Dropout(1.0), ValueError, "rate is 1.0"),
        (lambda: rl.Dropout(-0.1), ValueError, "rate is -0.1"),
        (lambda: rl.Threshold(float("nan"), 0), ValueError, "threshold is nan"),
        (lambda: rl.Softmax(0.5), TypeError, "axis is 0.5"),
        (lambda: rl.PReLU(-1), ValueError, "features is -1"),
    ],
)
def test_bad_arguments_are_named(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_layers_take_the_package_ops_unless_told():
    from relu_layers import ops

    layer = rl.ReLU()
    assert layer.ops is ops
    layer.ops = reference
    assert layer.ops is reference


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (rl.Dense(5, 3), (5,), r"x\[None, :\]"),
        (rl.Dense(5, 3), (2, 4), r"expected \(batch, 5\)"),
        (rl.PReLU(5), (2, 4), "expected 5 as its last axis"),
        (rl.Softmax(2), (2, 4), "no axis 2"),
    ],
)
def test_output_shape_refuses_what_does_not_fit(layer, shape, words):
    with pytest.raises(ValueError, match=words):
        layer.output_shape(shape)


def test_dense_alone_names_the_fix_for_one_row():
    layer = rl.Dense(5, 3)
    layer.ops = reference
    with pytest.raises(ValueError, match=r"x\[None, :\]"):
        layer.forward(np.ones(5, np.float32))


def test_a_stand_alone_layer_takes_the_dtype_of_its_first_input():
    layer = rl.Dense(2, 3)
    layer.ops = reference
    assert layer.forward(np.ones((1, 2))).dtype == np.float64
    assert layer.params["weight"].dtype == np.float64
    assert rl.Dense(2, 3).params["weight"].dtype == np.float32


def test_initialize_is_reproducible_and_works_in_place():
    layer = rl.Dense(2, 3)
    layer.initialize(7)
    weight = layer.params["weight"]
    first = weight.copy()
    layer.initialize(8)
    assert layer.params["weight"] is weight
    assert not np.array_equal(weight, first)
    layer.initialize(7)
    np.testing.assert_array_equal(weight, first)


def test_an_initializer_of_the_wrong_shape_changes_nothing():
    layer = rl.Dense(2, 3, bias_init=lambda shape, fan_in, fan_out, rng, dtype: np.zeros(5, dtype))
    with pytest.raises(ValueError, match="initializer of bias gave"):
        layer.initialize(0)
    assert not layer.initialized


def test_initializers_get_the_fans_of_the_stored_shape():
    seen = []

    def spy(shape, fan_in, fan_out, rng, dtype):
        seen.append((shape, fan_in, fan_out))
        return initializers.zeros(shape, fan_in, fan_out, rng, dtype)

    rl.Dense(7, 2, weight_init=spy, bias_init=spy).initialize(0)
    assert seen == [((7, 2), 7, 2), ((2,), 7, 2)]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_independent_and_unbound(duplicate):
    layer = rl.Dense(2, 3)
    layer.ops = reference
    layer.forward(np.ones((1, 2)), training=True)
    twin = duplicate(layer)
    assert repr(twin) == repr(layer)
    np.testing.assert_array_equal(twin.params["weight"], layer.params["weight"])
    twin.params["weight"][...] = 9
    assert (layer.params["weight"] != 9).all()
    with pytest.raises(RuntimeError):
        twin.backward(np.ones((1, 3)))


def test_parameters_have_fixed_keys():
    layer = rl.Dense(2, 3)
    with pytest.raises(KeyError, match="did you mean 'weight'"):
        layer.params["wieght"]
    with pytest.raises(TypeError, match="cannot be deleted"):
        del layer.params["bias"]
    with pytest.raises(ValueError, match="shape"):
        layer.params["bias"] = np.zeros(4, np.float32)
    with pytest.raises(TypeError, match="astype"):
        layer.params["bias"] = np.zeros(3)
    assert dict(rl.ReLU().params) == {} == dict(rl.ReLU().grads)


def test_dropout_masks_follow_key_and_counter():
    layer = rl.Dropout(0.5)
    layer.ops = reference
    x = np.ones((40, 50))
    state = layer.state()
    first, second = layer.forward(x, training=True), layer.forward(x, training=True)
    assert not np.array_equal(first, second)
    assert set(np.unique(first)) == {0.0, 2.0}
    # 2,000 fair coins: five standard deviations
    assert abs(np.mean(first) - 1.0) < 5 / np.sqrt(2000)
    layer.load_state(state)
    np.testing.assert_array_equal(layer.forward(x, training=True), first)
    assert layer.state() == {"key": state["key"], "counter": state["counter"] + 1}


def test_dropout_inference_is_a_copy_that_draws_nothing():
    layer = rl.Dropout(0.5)
    layer.ops = reference
    x = np.ones((3, 4))
    state = layer.state()
    y = layer.forward(x)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(x, y)
    assert layer.state() == state


@pytest.mark.parametrize("state", [{"key": -1, "counter": 0}, {"key": 0, "counter": 2**64}])
def test_dropout_refuses_a_state_outside_64_bits(state):
    with pytest.raises(ValueError):
        rl.Dropout(0.5).load_state(state)
