"""docs/keras.md holds: its Keras code runs, and each pair of its tables computes the same. Needs Keras 3."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

if importlib.util.find_spec("torch") is not None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="compares with Keras, which no extra installs")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Keras takes long, and warns
PAGE = Path(__file__).resolve().parent.parent / "docs" / "keras.md"
L, OPT, S = keras.losses, keras.optimizers, keras.optimizers.schedules
RATE = 0.05
UPDATES = (0, 1, 7, 8, 50, 99)
# Of 30 updates in float32, the rounding of both sides.
TOLERANCE = 30 * 16 * float(np.finfo(np.float32).eps)

rng = np.random.default_rng(5)
X = rng.standard_normal((64, 5)).astype(np.float32)
LABELS = rng.integers(0, 3, 64)
LOGITS = rng.standard_normal((64, 3)).astype(np.float32)
TARGETS = rng.integers(0, 2, (64, 3)).astype(np.float32)
WEIGHTS = rng.random(64).astype(np.float32)


def networks() -> tuple[Any, rl.Sequential]:
    """Return the same 5-8-3 network twice."""
    dense = keras.layers.Dense
    layers = [keras.Input((5,)), dense(8), keras.layers.LeakyReLU(negative_slope=0.01), dense(3)]
    theirs = keras.Sequential(layers)
    ours = rl.mlp([5, 8, 3], negative_slope=0.01, rng=1)
    theirs.set_weights(list(ours.params.values()))
    return theirs, ours


def difference_after_training(their_optimizer: Any, optimizer: Any, **options: Any) -> float:
    """Return the largest difference of a weight after 30 updates, relative to the largest weight."""
    theirs, ours = networks()
    theirs.compile(optimizer=their_optimizer, loss=L.SparseCategoricalCrossentropy(from_logits=True))
    trainer = rl.Trainer(ours, rl.SoftmaxCrossEntropy(), optimizer, **options)
    for i in range(30):
        rows = slice(i % 4 * 16, i % 4 * 16 + 16)
        theirs.train_on_batch(X[rows], LABELS[rows])
        trainer.step(X[rows], LABELS[rows])
    pairs = zip(theirs.get_weights(), ours.params.values(), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def test_the_keras_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (x, y), (x_val, y_val) = rl.data.train_validation_split(*rl.data.two_moons(400, rng=0), rng=0)
    names: dict[str, Any] = {"np": np, "x": x, "y": y, "x_val": x_val, "y_val": y_val}
    blocks = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 2
    assert names["accuracy"] > 0.9
    twin = rl.mlp([2, 16, 2], negative_slope=0.01)
    with np.load("weights.npz") as file:
        twin.load_params({name: file[f"arr_{i}"] for i, name in enumerate(twin.params)})
    expected = names["model"].predict(x_val, verbose=0)
    np.testing.assert_allclose(twin(x_val.astype(np.float32)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours", "options"),
    [
        (lambda: OPT.SGD(RATE), rl.SGD(RATE), {}),
        (lambda: OPT.SGD(RATE, momentum=0.9), rl.SGD(RATE, momentum=0.9), {}),
        (
            lambda: OPT.SGD(RATE, momentum=0.9, nesterov=True),
            rl.SGD(RATE, momentum=0.9, nesterov=True),
            {},
        ),
        (lambda: OPT.SGD(RATE, weight_decay=0.1), rl.SGD(RATE, weight_decay=0.1), {}),
        (lambda: OPT.Adam(RATE), rl.Adam(RATE, epsilon=1e-7, epsilon_hat=True), {}),
        (
            lambda: OPT.AdamW(RATE, weight_decay=0.1),
            rl.AdamW(RATE, epsilon=1e-7, epsilon_hat=True, weight_decay=0.1),
            {},
        ),
        (lambda: OPT.Adadelta(1.0), rl.AdaDelta(1.0, epsilon=1e-7), {}),
        (lambda: OPT.SGD(RATE, global_clipnorm=0.3), rl.SGD(RATE), {"clip_norm": 0.3}),
        (lambda: OPT.SGD(RATE, gradient_accumulation_steps=2), rl.SGD(RATE), {"accumulate": 2}),
    ],
    ids=["sgd", "momentum", "nesterov", "sgd-decay", "adam", "adamw", "adadelta", "clip", "accumulate"],
)
def test_optimizers_take_the_same_steps(theirs: Callable[[], Any], ours: Any, options: Any) -> None:
    assert difference_after_training(theirs(), ours, **options) < TOLERANCE


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda: OPT.Adam(RATE), lambda: rl.Adam(RATE)),
        (lambda: OPT.RMSprop(RATE), lambda: rl.RMSProp(RATE, rho=0.9, epsilon=1e-7)),
        (lambda: OPT.Adagrad(RATE), lambda: rl.AdaGrad(RATE, epsilon=1e-7)),
        (lambda: OPT.SGD(RATE, momentum=0.9, weight_decay=0.1), lambda: rl.SGD(RATE, 0.9, weight_decay=0.1)),
    ],
    ids=["adam-defaults", "rmsprop", "adagrad", "momentum-decay"],
)
def test_what_the_page_says_differs_does(
    theirs: Callable[[], Any], ours: Callable[[], rl.optimizers.Optimizer]
) -> None:
    assert difference_after_training(theirs(), ours()) > TOLERANCE


def test_a_kernel_regularizer_is_twice_its_weight_decay() -> None:
    ours = networks()[1]
    layers = [keras.layers.Dense(units, kernel_regularizer=keras.regularizers.L2(0.05)) for units in (8, 3)]
    activation = keras.layers.LeakyReLU(negative_slope=0.01)
    theirs = keras.Sequential([keras.Input((5,)), layers[0], activation, layers[1]])
    theirs.set_weights(list(ours.params.values()))
    theirs.compile(optimizer=OPT.SGD(RATE), loss=L.SparseCategoricalCrossentropy(from_logits=True))
    multipliers = {"0.bias": (1.0, 0.0), "2.bias": (1.0, 0.0)}
    optimizer = rl.SGD(RATE, weight_decay=0.1, multipliers=multipliers)
    trainer = rl.Trainer(ours, rl.SoftmaxCrossEntropy(), optimizer)
    for _ in range(10):
        theirs.train_on_batch(X, LABELS)
        trainer.step(X, LABELS)
    for a, b in zip(theirs.get_weights(), ours.params.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("theirs", "ours", "target"),
    [
        (
            L.SparseCategoricalCrossentropy(from_logits=True),
            rl.SoftmaxCrossEntropy(normalization="batch_size"),
            LABELS,
        ),
        (
            L.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            rl.SoftmaxCrossEntropy(label_smoothing=0.1, normalization="batch_size"),
            np.eye(3, dtype=np.float32)[LABELS],
        ),
        (L.BinaryCrossentropy(from_logits=True), rl.SigmoidCrossEntropy(normalization="full"), TARGETS),
        (L.MeanSquaredError(), rl.SquaredError(), TARGETS),
        (L.Huber(delta=0.5), rl.Huber(0.5), TARGETS),
    ],
    ids=["sparse", "smoothed", "binary", "squared", "huber"],
)
def test_losses_are_equal(theirs: Any, ours: Any, target: np.ndarray, weights: np.ndarray | None) -> None:
    expected = float(theirs(target, LOGITS, sample_weight=weights))
    assert ours(LOGITS, target, sample_weight=weights)[0] == pytest.approx(expected, rel=1e-5)


def test_ignored_class_and_limited_probabilities() -> None:
    ignoring = L.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    assert rl.SoftmaxCrossEntropy(ignore_label=0)(LOGITS, LABELS)[0] == pytest.approx(
        float(ignoring(LABELS, LOGITS)), rel=1e-5
    )
    certain = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    limited = float(L.SparseCategoricalCrossentropy()(np.array([1]), certain))
    assert limited == pytest.approx(-np.log(1e-7), rel=1e-3)


def test_class_weights_of_fit_are_the_loss_s() -> None:
    theirs, ours = networks()
    theirs.compile(optimizer=OPT.SGD(RATE), loss=L.SparseCategoricalCrossentropy(from_logits=True))
    options: dict[str, Any] = {"epochs": 3, "batch_size": 16, "shuffle": False}
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    expected = theirs.fit(X, LABELS, class_weight=weights, verbose=0, **options).history["loss"]
    loss = rl.SoftmaxCrossEntropy(class_weight=list(weights.values()), normalization="batch_size")
    history = rl.Trainer(ours, loss, rl.SGD(RATE)).fit(X, LABELS, **options)
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda: S.ExponentialDecay(0.1, 10, 0.5), rl.schedules.Exponential(0.1, 0.5 ** (1 / 10))),
        (lambda: S.ExponentialDecay(0.1, 10, 0.5, staircase=True), rl.schedules.Step(0.1, 0.5, 10)),
        (lambda: S.InverseTimeDecay(0.1, 10, 0.5), rl.schedules.Inverse(0.1, 0.5 / 10, 1.0)),
        (lambda: S.PolynomialDecay(0.1, 100, 0.0, 2.0), rl.schedules.Polynomial(0.1, 2.0, 100)),
        (lambda: S.CosineDecay(0.1, 100, 0.2), rl.schedules.Cosine(0.1, 100, 0.2 * 0.1)),
        (lambda: S.PiecewiseConstantDecay([7], [0.1, 0.05]), rl.schedules.MultiStep(0.1, 0.5, [7 + 1])),
    ],
    ids=["exponential", "step", "inverse", "polynomial", "cosine", "multistep"],
)
def test_schedules_are_equal(theirs: Callable[[], Any], ours: rl.schedules.Schedule) -> None:
    expected = [float(theirs()(updates)) for updates in UPDATES]
    np.testing.assert_allclose([ours(updates) for updates in UPDATES], expected, rtol=1e-3)


def test_layers_are_equal() -> None:
    prelu, shared = keras.layers.PReLU(), keras.layers.PReLU(shared_axes=[1])
    pairs = [
        (keras.layers.LeakyReLU(negative_slope=0.2), rl.ReLU(0.2)),
        (keras.layers.ReLU(threshold=0.4), rl.Threshold(0.4, 0.0)),
        (prelu, rl.PReLU(5, slope_init=0.0)),
        (shared, rl.PReLU(1, slope_init=0.0)),
        (keras.layers.ELU(alpha=0.7), rl.ELU(0.7)),
        (keras.layers.Activation("sigmoid"), rl.Sigmoid()),
        (keras.layers.Activation("silu"), rl.SiLU()),
        (keras.layers.Activation("gelu"), rl.GELU()),
        (keras.layers.Activation("tanh"), rl.Tanh()),
        (keras.layers.Softmax(), rl.Softmax()),
    ]
    for theirs, ours in pairs:
        expected = keras.ops.convert_to_numpy(theirs(X))
        np.testing.assert_allclose(ours.forward(X), expected, rtol=1e-5, atol=1e-6, err_msg=repr(ours))
    assert [prelu.get_weights()[0].shape, shared.get_weights()[0].shape] == [(5,), (1,)]
    assert keras.layers.LeakyReLU().negative_slope == pytest.approx(0.3)
    he_normal = keras.ops.convert_to_numpy(keras.initializers.HeNormal(seed=1)((500, 500)))
    assert he_normal.std() == pytest.approx(np.sqrt(2 / 500), rel=0.01)
    assert np.abs(he_normal).max() < 2.3 * np.sqrt(2 / 500)
