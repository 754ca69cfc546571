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
