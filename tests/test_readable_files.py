"""What `save` writes, `load` reads; what could not be read, `save` refuses."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers import schedules
from relu_layers.preprocessing import CategoryColumn, ClassTarget, NumberColumn, NumberTarget, Preprocessing

NAMES = st.one_of(st.text(max_size=6), st.integers(-3, 3), st.none(), st.floats())
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
SUFFIXES = (".npz", ".safetensors", ".onnx")


def formats() -> list[str]:
    found = [".npz"]
    for suffix, module in ((".safetensors", "safetensors"), (".onnx", "onnx")):
        try:
            __import__(module)
        except ImportError:
            continue
        found.append(suffix)
    return found


COLUMNS = st.one_of(
    st.builds(NumberColumn, NAMES, NUMBERS, NUMBERS, NUMBERS),
    st.builds(
        CategoryColumn, NAMES, st.lists(st.text(max_size=3), max_size=3).map(tuple), st.text(max_size=3)
    ),
)
TARGETS = st.one_of(
    st.none(),
    st.builds(NumberTarget, NAMES, NUMBERS, NUMBERS),
    st.builds(
        ClassTarget,
        NAMES,
        st.lists(st.one_of(st.text(max_size=3), st.integers(), NUMBERS, st.booleans()), max_size=3).map(
            tuple
        ),
    ),
)


def survives(write: Any, read: Any, path: str) -> Any:
    """Write and read; None where writing was refused, and then nothing is left."""
    try:
        write(path)
    except (ValueError, TypeError, OverflowError):
        assert not Path(path).exists()
        return None
    return read(path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns=st.lists(COLUMNS, min_size=1, max_size=3), target=TARGETS, suffix=st.sampled_from(formats()))
def test_any_preprocessing_is_read_again_or_refused(columns: list[Any], target: Any, suffix: str) -> None:
    preprocessing = Preprocessing(missing="mean")
    preprocessing.columns, preprocessing.target = tuple(columns), target
    try:
        width = preprocessing.n_features
    except TypeError:
        return
    model = rl.mlp([max(width, 1), 2], rng=0)
    model.preprocessing = preprocessing
    with tempfile.TemporaryDirectory() as folder:
        back = survives(model.save, rl.load, f"{folder}/m{suffix}")
        if back is not None:
            assert back.preprocessing.to_dict() == preprocessing.to_dict()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(NAMES, min_size=1, max_size=3, unique_by=repr),
    kinds=st.lists(st.sampled_from(["number", "text", "flag"]), min_size=3, max_size=3),
    target=NAMES,
    suffix=st.sampled_from(formats()),
)
def test_whatever_was_fitted_is_read_again(
    names: list[Any], kinds: list[str], target: Any, suffix: str
) -> None:
    values = {"number": [1.5, 2.0, 4.0], "text": ["a", "b", "a"], "flag": [True, False, True]}
    table = dict(zip(names, (values[kind] for kind in kinds), strict=False))
    if len({str(name) for name in table}) < len(table):
        return
    model_table = Preprocessing().fit(table).fit_target([0, 1, 0], task="classification", name=target)
    model = rl.mlp([model_table.n_features, 2], rng=0)
    model.preprocessing = model_table
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/m{suffix}")
        back = rl.load(f"{folder}/m{suffix}")
        assert np.array_equal(back.preprocessing.transform(table), model_table.transform(table))


SETTINGS: list[tuple[str, Any]] = [
    ("optimizer.beta1", 2.0),
    ("optimizer.epsilon", -1.0),
    ("optimizer.weight_decay", math.nan),
    ("loss.label_smoothing", 3.0),
    ("layer.negative_slope", "x"),
    ("layer.negative_slope", 0.25),
    ("optimizer.beta1", 0.5),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_training_with_any_attribute_is_read_again_or_refused(
    name: str, value: Any, tmp_path: Path
) -> None:
    model = rl.mlp([3, 4, 2], rng=0)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(1e-3))
    owner = {"optimizer": trainer.optimizer, "loss": trainer.loss, "layer": model.layers[1]}[
        name.split(".")[0]
    ]
    try:
        setattr(owner, name.split(".")[1], value)
    except (ValueError, TypeError):
        return  # refused even earlier
    back = survives(trainer.save_checkpoint, rl.Trainer.restore, str(tmp_path / "c.npz"))
    assert back is None or repr(back.optimizer) == repr(trainer.optimizer)


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_an_early_stopping_of_any_score_is_restored(score: float, tmp_path: Path) -> None:
    stopping = rl.EarlyStopping(5)
    trainer = rl.Trainer(rl.mlp([4, 3, 1], rng=0), rl.SquaredError(), rl.SGD(1e-4), callbacks=[stopping])
    x = np.ones((8, 4), np.float32)
    trainer.fit(x, x[:, :1], epochs=1, batch_size=4, validation=(x, x[:, :1]))
    stopping.best = score
    back = survives(trainer.save_checkpoint, rl.Trainer.restore, str(tmp_path / "c.npz"))
    assert back is None or back.history.epochs == 1


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_an_estimator_of_one_class_or_a_number_for_a_name(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from relu_layers.sklearn import MLPClassifier, MLPRegressor, to_model

    x = np.arange(12.0).reshape(6, 2)
    one = MLPClassifier(hidden_layer_sizes=(2,), max_iter=1, random_state=0)
    try:
        one.fit(x, ["a"] * 6)
    except ValueError:
        pass
    else:
        with pytest.raises(ValueError, match="class 'a' alone"):
            to_model(one)
    for estimator, y in (
        (MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, random_state=0), x[:, 0]),
        (MLPClassifier(hidden_layer_sizes=(2,), max_iter=1, random_state=0), np.array([True, False] * 3)),
        (
            MLPClassifier(hidden_layer_sizes=(2,), max_iter=1, random_state=0),
            np.array([1.0, 2.0, 3.0] * 2),
        ),
    ):
        model = to_model(estimator.fit(x, y), target=5)  # type: ignore[arg-type]
        model.save(tmp_path / "m.npz")
        assert rl.load(tmp_path / "m.npz").preprocessing.target.name == "5"


QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
ANY = st.one_of(
    st.floats(), st.integers(-3, 3), st.sampled_from([0.1, 1e-45, 1e300, "x", None, True, np.float32(0.5)])
)
SMALL = st.floats(1e-3, 0.5)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 3))
LABELS = RNG.integers(0, 2, 12)


def possible(kind: Any, *values: Any, **named: Any) -> Any:
    """Build an object, None where its own constructor refuses."""
    try:
        return kind(*values, **named)
    except (TypeError, ValueError, OverflowError):
        return None


# Activations with any settings that their constructors take.
ACTIVATIONS = st.one_of(
    st.builds(lambda a: possible(rl.ReLU, a), ANY),
    st.builds(lambda a: possible(rl.ELU, a), ANY),
    st.builds(lambda a, b: possible(rl.Clip, a, b), ANY, ANY),
    st.builds(lambda a, b: possible(rl.Threshold, a, b), ANY, ANY),
    st.builds(lambda a: possible(rl.Dropout, a), ANY),
    st.builds(lambda a: possible(rl.Softmax, a), st.sampled_from([-1, 1, 0, 1.0])),
    st.sampled_from([rl.SELU, rl.Sigmoid, rl.SiLU, rl.Softplus, rl.Tanh, rl.LogSoftmax, rl.GELU]).map(
        lambda kind: kind()
    ),
    st.just("PReLU"),
)
# The values of a card: what it may hold, and what it may not.
CARDS = st.one_of(
    st.none(),
    st.dictionaries(
        st.one_of(st.text(max_size=4), st.integers()),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.dates()),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
            max_leaves=4,
        ),
        max_size=3,
    ),
)


def network(activations: list[Any], dtype: Any) -> rl.Sequential:
    """Return a network whose parameters are not those of a new one."""
    layers: list[Any] = []
    for activation in activations:
        layers += [rl.Dense(3, 3), rl.PReLU(3) if activation == "PReLU" else activation]
    model = rl.Sequential(*layers, rl.Dense(3, 2), dtype=dtype, rng=1)
    model.flat_params[:] = np.linspace(-1, 1, model.flat_params.size)
    return model


@QUICK
@given(
    activations=st.lists(ACTIVATIONS.filter(lambda one: one is not None), max_size=3),
    dtype=st.sampled_from([np.float32, np.float64]),
    card=CARDS,
    predicts=st.sampled_from([None, "numbers", "classes"]),
    suffix=st.sampled_from([*formats(), ".caffemodel", ".prototxt"]),
)
def test_any_model_is_read_again_or_refused(
    activations: list[Any], dtype: Any, card: Any, predicts: Any, suffix: str
) -> None:
    model = network(activations, dtype)
    model.card, model.predicts = card, predicts
    with tempfile.TemporaryDirectory() as folder:
        back = survives(model.save, rl.load, f"{folder}/m{suffix}")
        if back is None or suffix == ".prototxt":
            return
        x = X.astype(back.dtype)
        np.testing.assert_allclose(back(x), model(X.astype(dtype)), rtol=1e-5, atol=1e-6)
        if suffix in formats():
            assert (back.card, back.predicts) == (card, predicts)
        if suffix in (".npz", ".safetensors"):
            assert repr(back) == repr(model)
            assert back.flat_params.tobytes() == model.flat_params.tobytes()
            assert model.copy().card == card


SCHEDULES = st.one_of(
    SMALL,
    st.builds(schedules.Constant, SMALL),
    st.builds(schedules.Step, SMALL, SMALL, st.integers(1, 4)),
    st.builds(schedules.Exponential, SMALL, SMALL),
    st.builds(schedules.Inverse, SMALL, SMALL, SMALL),
    st.builds(schedules.MultiStep, SMALL, SMALL, st.just([1, 3])),
    st.builds(schedules.Polynomial, SMALL, SMALL, st.integers(1, 9)),
    st.builds(schedules.Sigmoid, SMALL, st.floats(-1, 0.5), st.integers(1, 9)),
    st.builds(schedules.Cosine, SMALL, st.integers(1, 9)),
    st.builds(lambda base, n: schedules.Warmup(schedules.Cosine(base, 9), n), SMALL, st.integers(1, 4)),
)
OPTIMIZERS = st.builds(
    lambda kind, rate, decay, rule, multipliers: kind(
        rate, weight_decay=decay, regularization=rule, multipliers=multipliers
    ),
    st.sampled_from([rl.SGD, rl.AdaGrad, rl.RMSProp, rl.AdaDelta, rl.Adam]),
    SCHEDULES,
    SMALL,
    st.sampled_from(["l1", "l2"]),
    st.sampled_from([None, {"0.bias": (0.0, 1.0)}, {"0.weight": (2.0, 0.0), "2.bias": (0.5, 1)}]),
)
LOSSES = st.one_of(
    st.builds(
        lambda weights, smoothing, ignored, how: rl.SoftmaxCrossEntropy(
            class_weight=weights, label_smoothing=smoothing, ignore_label=ignored, normalization=how
        ),
        st.sampled_from([None, [1.0, 2.5], {0: 1, 1: 3}, np.array([0.5, 1.0])]),
        SMALL,
        st.sampled_from([None, 0, 7]),
        st.sampled_from(["valid", "full", "batch_size", "none"]),
    ),
    st.builds(lambda how: rl.SigmoidCrossEntropy(normalization=how), st.sampled_from(["batch_size", "full"])),
    st.builds(
        lambda scale, how: rl.SquaredError(scale, how), SMALL, st.sampled_from(["full", "none", "batch_size"])
    ),
)
CALLBACKS = st.lists(
    st.one_of(
        st.builds(rl.EarlyStopping, st.integers(1, 5), st.sampled_from(["loss", "validation_loss"])),
        st.builds(rl.ReduceOnPlateau, SMALL, st.integers(1, 3), st.just("loss")),
    ),
    max_size=2,
)


@QUICK
@given(
    optimizer=OPTIMIZERS,
    loss=LOSSES,
    callbacks=CALLBACKS,
    dropout=st.booleans(),
    clip=st.sampled_from([None, 0.5]),
    group=st.integers(1, 3),
    steps=st.integers(0, 3),
    epochs=st.integers(0, 2),
    odd=st.sampled_from(
        [
            ("optimizer", "weight_decay"),
            ("loss", "normalization"),
            ("trainer", "clip_norm"),
            ("model", "card"),
            None,
        ]
    ),
    value=ANY,
    suffix=st.sampled_from([one for one in formats() if one != ".onnx"]),
)
def test_any_training_goes_on_to_the_bit_or_is_refused(
    optimizer: Any, loss: Any, callbacks: list[Any], dropout: bool, clip: float | None, group: int, steps: int,
    epochs: int, odd: Any, value: Any, suffix: str,
) -> None:  # fmt: skip
    middle: list[Any] = [rl.ReLU(0.1), rl.Dropout(0.3)] if dropout else [rl.Tanh()]
    model = rl.Sequential(rl.Dense(3, 4), middle[0], rl.Dense(4, 2), *middle[1:], rng=2)
    x = X.astype(np.float32)
    y: Any = LABELS if isinstance(loss, rl.SoftmaxCrossEntropy) else np.eye(2, dtype=np.float32)[LABELS]
    trainer = rl.Trainer(model, loss, optimizer, clip_norm=clip, accumulate=group, callbacks=callbacks)
    if not isinstance(optimizer.learning_rate, schedules.Constant):
        trainer.callbacks = tuple(one for one in callbacks if not isinstance(one, rl.ReduceOnPlateau))
    if epochs:
        trainer.fit(x, y, epochs=epochs, batch_size=5, validation=(x, y))
    for _ in range(steps):
        trainer.step(x[:4], y[:4])
    if odd is not None:
        owner = {"optimizer": optimizer, "loss": loss, "trainer": trainer, "model": model}[odd[0]]
        try:
            setattr(owner, odd[1], value)
        except (TypeError, ValueError, AttributeError):
            odd = None
    with tempfile.TemporaryDirectory() as folder:
        back = survives(trainer.save_checkpoint, rl.Trainer.restore, f"{folder}/t{suffix}")
        assert list(Path(folder).iterdir()) == ([] if back is None else [Path(f"{folder}/t{suffix}")])
    if back is None:
        assert odd is not None
        return
    for one in (trainer, back):
        one.step(x[4:9], y[4:9])
    assert back.model.flat_params.tobytes() == model.flat_params.tobytes()
    assert [repr(one) for one in (back.optimizer, back.loss)] == [repr(one) for one in (optimizer, loss)]
