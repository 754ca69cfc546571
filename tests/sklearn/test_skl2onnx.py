"""skl2onnx converts this package's estimators as it does scikit-learn's: alone and in a pipeline, every option."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import relu_layers as rl
from relu_layers.sklearn import MLPClassifier, MLPRegressor

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
ESTIMATORS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "three classes": (MLPClassifier, RNG.integers(0, 3, 60), {"negative_slope": 0.1}),
    "two texts": (MLPClassifier, np.where(RNG.integers(0, 2, 60), "yes", "no"), {"activation": "tanh"}),
    "truth": (MLPClassifier, RNG.integers(0, 2, 60).astype(bool), {"activation": "logistic"}),
    "labels": (MLPClassifier, RNG.integers(0, 2, (60, 3)), {"dropout": 0.1}),
    "a number": (MLPRegressor, X[:, 0], {"activation": "identity"}),
    "two numbers": (MLPRegressor, X[:, :2], {}),
    "rates": (MLPRegressor, np.abs(X[:, 0]), {"loss": "poisson"}),
}


def answers(model: Any, x: Any) -> list[Any]:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(None, {session.get_inputs()[0].name: x})
    return results


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_runtime_gives_what_the_estimator_gives(
    name: str, piped: bool, dtype: Any, tmp_path: Path
) -> None:
    kind, target, options = ESTIMATORS[name]
    estimator = kind(hidden_layer_sizes=(7, 5), max_iter=4, random_state=0, **options)
    x = X.astype(dtype)
    with warnings.catch_warnings(action="ignore"):  # that it has not converged
        fitted = (make_pipeline(StandardScaler(), estimator) if piped else estimator).fit(x, target)
        without = {id(estimator): {"zipmap": False}} if kind is MLPClassifier else None
        made = skl2onnx.to_onnx(fitted, x[:1], options=without)
        named = skl2onnx.to_onnx(fitted, x[:1])
    first, *scores = answers(made, x)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    if kind is MLPRegressor:
        np.testing.assert_allclose(
            first.reshape(fitted.predict(x).shape), fitted.predict(x), rtol=tolerance, atol=tolerance
        )
        if name != "rates":
            loaded = rl.load(saved(made, tmp_path))(x)
            np.testing.assert_allclose(loaded, first.reshape(loaded.shape), rtol=tolerance, atol=tolerance)
        return
    np.testing.assert_array_equal(first.astype(fitted.predict(x).dtype), fitted.predict(x))
    np.testing.assert_allclose(scores[0], fitted.predict_proba(x), atol=tolerance)
    # As skl2onnx does by default, in a pipeline with names.
    row = answers(named, x)[1][0]
    assert list(row.values() if isinstance(row, dict) else row) == pytest.approx(
        fitted.predict_proba(x)[0], abs=tolerance
    )
    if name != "labels":
        loaded = rl.load(saved(named, tmp_path))
        np.testing.assert_allclose(loaded(x), fitted.predict_proba(x), atol=tolerance)


def saved(model: Any, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def test_a_single_class_is_refused() -> None:
    with warnings.catch_warnings(action="ignore"):
        estimator = MLPClassifier(max_iter=1, random_state=0).fit(X, np.ones(60))
        with pytest.raises(ValueError, match=r"on the class .*1.0.* alone"):
            skl2onnx.to_onnx(estimator, X[:1])
