"""Whatever the layers: a model is its layers in a row, on contiguous arrays, and its copies are equal."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_layers import layers as rl
from relu_layers.model import Sequential
from relu_layers.ops import reference

ACTIVATIONS = (
    rl.ReLU,
    lambda: rl.ReLU(0.01),
    lambda: rl.PReLU(1),
    rl.ELU,
    rl.Sigmoid,
    rl.SiLU,
    rl.GELU,
    rl.SELU,
    rl.Softplus,
    rl.Clip,
    rl.Tanh,
    lambda: rl.Threshold(0.1, 0.2),
    rl.Softmax,
    rl.LogSoftmax,
    lambda: rl.Dropout(0.5),
)


@st.composite
def stacks(draw):
    """Dense layers of random widths with up to two activations after each, perhaps some before the first."""
    widths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    activations = st.lists(st.sampled_from(ACTIVATIONS), max_size=2)
    layers = [make() for make in draw(activations)]
    for inputs, outputs in pairwise(widths):
        layers.append(rl.Dense(inputs, outputs, bias=draw(st.booleans()), bias_init="he_normal"))
        layers += [make() for make in draw(activations)]
    return layers or [rl.Tanh()], widths[0]


@settings(max_examples=150, deadline=None)
@given(
    stack=stacks(),
    batches=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_model_is_its_layers_in_a_row(stack, batches, dtype, seed):
    layers, features = stack
    model = Sequential(*layers, dtype=dtype, rng=seed, ops=reference)
    assert model.flat_params.size == sum(array.size for array in model.params.values())
    twin = copy.deepcopy(model)
    for batch in batches:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((batch, features)).astype(dtype)
        expected = x
        for layer in twin.layers:
            expected = layer.forward(expected)
        np.testing.assert_array_equal(model(x), expected)

        expected = x
        for layer in twin.layers:
            expected = layer.forward(expected, training=True)
        np.testing.assert_array_equal(model.forward(x, training=True), expected)
        dy = rng.standard_normal(expected.shape).astype(dtype)
        dx = dy
        for layer in reversed(twin.layers):
            dx = layer.backward(dx)
        np.testing.assert_array_equal(model.backward(dy), dx)
        np.testing.assert_array_equal(model.flat_grads, twin.flat_grads)
