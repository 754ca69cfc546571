"""Names that people type first, from other libraries: they work, or the answer has the right spelling."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


def trainer() -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1))


MISSPELT: list[tuple[Callable[[], Any], str]] = [
    (lambda: rl.Adam(lr=0.1), "did you mean 'learning_rate'"),
    (lambda: rl.Adam(step_size=0.1), "did you mean 'learning_rate'"),
    (lambda: rl.schedules.Step(0.1, 0.5, step_size=3), "did you mean 'every'"),
    (lambda: rl.SGD(0.1, decay=0.1), "did you mean 'weight_decay'"),
    (lambda: rl.Adam(betas=(0.9, 0.999)), "did you mean 'beta1'"),
    (lambda: rl.RMSProp(0.1, eps=1e-8), "did you mean 'epsilon'"),
    (lambda: rl.SGD(0.1, momentun=0.9), "did you mean 'momentum'"),
    (lambda: rl.Dense(4, 8, activation="relu"), r"put ReLU\(\) behind"),
    (lambda: rl.Dense(4, 8, activation="selu"), r"put SELU\(\) behind"),
    (lambda: rl.Dense(4, 8, activation="LeakyReLU"), r"put ReLU\(0.01\) behind"),
    (lambda: rl.Dense(4, 8, activation="softmax"), r"put Softmax\(\) behind"),
    (lambda: rl.Dense(4, 8, activation=None), "leave it out"),
    (lambda: rl.Dense(4, 8, activation=rl.Tanh), r"put Tanh\(\) behind"),
    (lambda: rl.Dense(4, 8, nonlinearity="mish"), r"SiLU\(\), the nearest"),
    (lambda: rl.Dense(4, 8, activation="mine"), r"put a layer such as ReLU\(\)"),
    (lambda: rl.Dense(4, units=8), "did you mean 'out_features'"),
    (lambda: rl.Dense(4, 8, use_bias=False), "did you mean 'bias'"),
    (lambda: rl.ReLU(slope=0.1), "did you mean 'negative_slope'"),
    (lambda: rl.Dropout(p=0.5), "did you mean 'rate'"),
    (lambda: rl.Softmax(dim=1), "did you mean 'axis'"),
    (lambda: rl.PReLU(num_parameters=3), "did you mean 'features'"),
    (lambda: rl.SoftmaxCrossEntropy(ignore_index=3), "did you mean 'ignore_label'"),
    (lambda: rl.SoftmaxCrossEntropy(reduction="sum"), "did you mean 'normalization'"),
    (lambda: rl.EarlyStopping(patiance=3), "did you mean 'patience'"),
    (lambda: rl.mlp(hidden=[4, 3]), "did you mean 'sizes'"),
    (lambda: rl.mlp([4, 3], seed=0), "did you mean 'rng'"),
    (lambda: trainer().fit(X, Y, validation_data=(X, Y)), "did you mean 'validation'"),
    (lambda: trainer().fit(X, Y, n_epochs=3), "did you mean 'epochs'"),
    (lambda: trainer().fit(X, Y, verbose=1), "did you mean 'progress'"),
    (lambda: trainer().evaluate(X, Y, sample_weights=None), "did you mean 'sample_weight'"),
    (
        lambda: rl.Trainer(rl.mlp([4, 3]), rl.SquaredError(), rl.SGD(0.1), clipnorm=1),
        "did you mean 'clip_norm'",
    ),
    (lambda: rl.Trainer(rl.mlp([4, 3]), rl.SquaredError(), rl.SGD(0.1), metrics=["acc"]), "accuracy"),
    (
        lambda: rl.Trainer(rl.mlp([4, 3]), "softmax_cross_entropy", rl.SGD(0.1)),
        r"pass SoftmaxCrossEntropy\(\)",
    ),
    (lambda: rl.Trainer(rl.mlp([4, 3]), "mse", rl.SGD(0.1)), r"pass SquaredError\(\)"),
    (lambda: rl.Trainer(rl.mlp([4, 3]), "binary_crossentropy", rl.SGD(0.1)), r"pass SigmoidCrossEntropy\(\)"),
    (lambda: rl.Trainer(rl.mlp([4, 3]), rl.SquaredError, rl.SGD(0.1)), r"pass SquaredError\(\)"),
]


@pytest.mark.parametrize(("call", "words"), MISSPELT, ids=[words[:30] for _, words in MISSPELT])
def test_an_argument_of_another_library_is_answered_with_ours(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


NAMES = {
    "LeakyReLU": "rl.ReLU(0.01)",
    "Linear": "rl.Dense(in_features, out_features)",
    "CrossEntropyLoss": "rl.SoftmaxCrossEntropy()",
    "BCEWithLogitsLoss": "rl.SigmoidCrossEntropy()",
    "MSELoss": "rl.SquaredError()",
    "MLPClassifier": "from relu_layers.sklearn import MLPClassifier",
    "load_model": "rl.load(path)",
    "Adm": "'Adam'",
    "Relu": "rl.ReLU()",
    "Swish": "rl.SiLU()",
    "Gelu": "rl.GELU()",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_another_library_is_answered_with_ours(name: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(NAMES[name])):
        getattr(rl, name)


def test_every_name_that_is_answered_exists() -> None:
    from relu_layers._support import spelling

    for way in spelling._HERE.values():
        for name in re.findall(r"rl\.(\w+)", way):
            assert hasattr(rl, name), way
    for kinds in (rl.layers.BUILT_IN, rl.losses.BUILT_IN, rl.optimizers.BUILT_IN):
        for kind in kinds.values():
            # The way to call it is as it was written.
            assert "kwargs" not in str(inspect.signature(kind))


@pytest.mark.parametrize(
    ("activation", "shown"),
    [
        ("relu", "ReLU()"),
        ("tanh", "Tanh()"),
        ("elu", "ELU()"),
        ("sigmoid", "Sigmoid()"),
        ("logistic", "Sigmoid()"),
        ("silu", "SiLU()"),
        ("gelu", "GELU()"),
        ("swish", "SiLU()"),
        ("selu", "SELU()"),
        ("softplus", "Softplus()"),
        ("ReLU6", "Clip()"),
        ("hard_tanh", "Clip(-1.0, 1.0)"),
        ("leaky-relu", "ReLU(0.01)"),
        (rl.Tanh, "Tanh()"),
        (lambda: rl.ELU(0.5), "ELU(0.5)"),
    ],
)
def test_mlp_takes_an_activation(activation: Any, shown: str) -> None:
    model = rl.mlp([4, 5, 6, 3], activation=activation, rng=0)
    assert [repr(layer) for layer in model.layers[1::2]] == [shown, shown]
    assert rl.mlp([4, 5, 3], activation="leaky_relu", negative_slope=0.1).layers[1].negative_slope == 0.1


def test_every_spelling_of_an_activation_makes_a_layer() -> None:
    from relu_layers._support.spelling import ACTIVATION_NAMES, ACTIVATIONS, plain_name

    assert {plain_name(name) for name in ACTIVATION_NAMES} <= ACTIVATIONS.keys()
    for name in (*ACTIVATIONS, *ACTIVATION_NAMES):
        layer = rl.mlp([4, 5, 3], activation=name, rng=0).layers[1]
        assert type(layer) is rl.layers.BUILT_IN[ACTIVATIONS[plain_name(name)][0]]
        # What the message says to put behind a Dense is that layer.
        with pytest.raises(TypeError) as caught:
            rl.Dense(4, 8, activation=name)  # type: ignore[call-arg]
        words = re.search(r"put (\w+\(.*?\)) behind it", str(caught.value))
        assert words is not None
        assert repr(eval(f"rl.{words[1]}")) == repr(layer)


def test_mlp_refuses_other_activations() -> None:
    with pytest.raises(
        ValueError,
        match="expected one of relu, leaky_relu, relu6, hard_tanh, elu, selu, gelu, sigmoid, silu",
    ):
        rl.mlp([4, 5, 3], activation="mish")
    with pytest.raises(ValueError, match="a ReLU has one"):
        rl.mlp([4, 5, 3], activation="tanh", negative_slope=0.1)
    with pytest.raises(TypeError, match="what makes a new layer"):
        rl.mlp([4, 5, 3], activation=rl.Tanh())


def test_fit_has_defaults() -> None:
    one = trainer()
    assert one.fit(X, Y).epochs == 10
    assert one.steps == 20
