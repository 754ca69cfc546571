"""The preprocessing of the command line as a transformer, and estimators as its model files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from click.testing import CliRunner
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.estimator_checks import check_estimator

import relu_layers as rl
from relu_layers.cli import program
from relu_layers.sklearn import MLPClassifier, MLPRegressor, TablePreprocessor, to_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "age": RNG.uniform(20, 80, 60).round(1),
    "city": np.array(["Rome", "Oslo", "Bern"])[np.arange(60) % 3],
}
TARGETS: dict[str, Any] = {
    "several": np.array(["low", "middle", "high"])[(COLUMNS["age"] // 20).astype(int) - 1],
    "two": np.where(COLUMNS["age"] > 50, "old", "young"),
    "numbers": np.where(COLUMNS["age"] > 50, 1, 7),
    "regression": COLUMNS["age"] * 2.0,
}


CLASSES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "booleans": (np.array([False, True]), (0, 1)),
    "whole numbers": (np.array([3, 5], dtype=np.uint8), (3, 5)),
    "texts": (np.array(["no", "yes"], dtype=object), ("no", "yes")),
    "fractions": (np.array([0.0, 1.0]), (0.0, 1.0)),
}


def frame(library: str) -> Any:
    return pytest.importorskip(library, reason=f"{library} is not installed").DataFrame(COLUMNS)


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_of_every_kind_come_back_from_the_file(tmp_path: Path, kind: str) -> None:
    names, expected = CLASSES[kind]
    X = COLUMNS["age"][:, None]
    y = names[(X[:, 0] > 50).astype(int)]
    model = to_model(MLPClassifier((4,), solver="lbfgs", max_iter=5, random_state=0).fit(X, y))
    model.save(tmp_path / "model.npz")
    assert rl.load(tmp_path / "model.npz").preprocessing.target.classes == expected


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_pipeline_becomes_a_file_of_the_command_line(tmp_path: Path, library: str, target: str) -> None:
    kind = MLPRegressor if target == "regression" else MLPClassifier
    pipeline = make_pipeline(
        TablePreprocessor(), kind(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=50, random_state=0)
    )
    pipeline.fit(frame(library), TARGETS[target])
    model = to_model(pipeline, "answer")
    model.save(tmp_path / "model.npz")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*COLUMNS.values(), strict=True))
    out = tmp_path / "out.csv"
    proba = [] if target == "regression" else ["--proba"]
    result = CliRunner().invoke(
        program,
        ["predict", str(tmp_path / "model.npz"), str(tmp_path / "rows.csv"), "--output", str(out), *proba],
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    expected = pipeline.predict(frame(library))
    if target == "regression":
        np.testing.assert_allclose([float(row["prediction"]) for row in rows], expected, rtol=1e-6)
        return
    assert [row["prediction"] for row in rows] == [str(one) for one in expected]
    names = [f"probability_{one}" for one in pipeline.classes_]
    found = [[float(row[name]) for name in names] for row in rows]
    np.testing.assert_allclose(found, pipeline.predict_proba(frame(library)), atol=1e-6)


def test_features_have_the_names_that_tell_where_they_come_from() -> None:
    transformer = TablePreprocessor().fit(frame("pandas"))
    assert transformer.get_feature_names_out().tolist() == ["age", "city=Bern", "city=Oslo", "city=Rome"]
    x = transformer.transform(frame("pandas"))
    np.testing.assert_allclose([x[:, 0].mean(), x[:, 0].std()], [0, 1], atol=1e-12)
    np.testing.assert_array_equal(x[:, 3], COLUMNS["city"] == "Rome")
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(frame("pandas").rename(columns={"age": "years"}))
    with pytest.raises(ValueError, match=r"'city' holds 'Olso' in row 1 .*did you mean 'Oslo'"):
        transformer.transform(frame("pandas").replace("Rome", "Olso"))


def test_scikit_learns_checks_of_a_transformer() -> None:
    results = check_estimator(TablePreprocessor(), on_skip=None, on_fail=None)
    assert [(one["check_name"], str(one["exception"])) for one in results if one["status"] == "failed"] == []


def test_what_cannot_be_a_model_file_is_said() -> None:
    x, y = rl.data.two_moons(40, rng=0)
    with pytest.raises(TypeError, match="got PolynomialFeatures, MLPClassifier; expected"):
        to_model(make_pipeline(PolynomialFeatures(), MLPClassifier(max_iter=2)).fit(x, y))
    with pytest.raises(ValueError, match="clips"):
        to_model(make_pipeline(MinMaxScaler(clip=True), MLPClassifier(max_iter=2)).fit(x, y))
    with pytest.raises(ValueError, match="behind a scaler"):
        to_model(make_pipeline(StandardScaler(), SimpleImputer(), MLPClassifier(max_iter=2)).fit(x, y))
    with pytest.raises(ValueError, match="does not only fill"):
        to_model(make_pipeline(SimpleImputer(missing_values=0), MLPClassifier(max_iter=2)).fit(x, y))
    with pytest.raises(TypeError, match="got StandardScaler; expected"):
        to_model(StandardScaler())
    with pytest.raises(ValueError, match="one class per row"):
        to_model(MLPClassifier(max_iter=2).fit(x, np.stack([y, 1 - y, y], axis=1)))
    with pytest.raises(ValueError, match="without an exponential"):
        to_model(MLPRegressor("poisson", max_iter=2).fit(x, y))
    with pytest.raises(ValueError, match="one number per row"):
        to_model(MLPRegressor(max_iter=2).fit(x, x))


SCALED: dict[str, tuple[Any, ...]] = {
    "standard": (StandardScaler(),),
    "no mean": (StandardScaler(with_mean=False),),
    "no scale": (StandardScaler(with_std=False),),
    "neither": (StandardScaler(with_mean=False, with_std=False),),
    "smallest and largest": (MinMaxScaler((-1, 3)),),
    "largest": (MaxAbsScaler(),),
    "quartiles": (RobustScaler(),),
    "no centre": (RobustScaler(with_centering=False),),
    "one after another": (MinMaxScaler(), RobustScaler(), StandardScaler()),
    "filled": (SimpleImputer(strategy="median"), StandardScaler()),
    "filled alone": (SimpleImputer(),),
}


@pytest.mark.parametrize("name", SCALED)
def test_scalers_of_scikit_learn_become_the_preprocessing(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal([2.0, -50.0, 0.01], [1.0, 20.0, 0.002], (40, 3))
    if "filled" in name:
        x[[3, 7], [0, 2]] = np.nan
    pipeline = make_pipeline(*SCALED[name], MLPClassifier(max_iter=3, random_state=0))
    pipeline.fit(x, rng.choice(["yes", "no", "perhaps"], 40))
    to_model(pipeline).save(tmp_path / "model.npz")
    model = rl.load(tmp_path / "model.npz")
    assert list(model.predict_table(x)) == list(pipeline.predict(x))
    features = model.preprocessing.transform(x, dtype=np.float64)
    np.testing.assert_allclose(features, pipeline[:-1].transform(x), rtol=1e-12, atol=1e-12)


def test_the_model_is_independent_of_the_estimator() -> None:
    x, y = rl.data.two_moons(40, rng=0)
    estimator = MLPClassifier(max_iter=5, random_state=0).fit(x, y)
    model = to_model(estimator)
    before = model(x)
    estimator.coefs_[0][:] = 0
    np.testing.assert_array_equal(model(x), before)
    np.testing.assert_array_equal(before[:, 0], 0)
