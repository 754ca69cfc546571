"""Networks of scikit-learn, through the converter skl2onnx where it is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
neural_network = pytest.importorskip("sklearn.neural_network", reason="needs scikit-learn")
skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)


def convert(network: Any, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # of the converter
        options = {id(network): {"zipmap": False}} if hasattr(network, "classes_") else None
        onnx.save(skl2onnx.to_onnx(network, X[:1], options=options), path)


def fitted(kind: Any, target: Any, **options: Any) -> Any:
    with warnings.catch_warnings(action="ignore"):  # that it has not converged
        return kind(hidden_layer_sizes=(7, 5), max_iter=30, random_state=0, **options).fit(X, target)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_a_classifiers_probabilities(activation: str, tmp_path: Path) -> None:
    network = fitted(neural_network.MLPClassifier, RNG.integers(0, 3, 60), activation=activation)
    convert(network, tmp_path / "net.onnx")
    loaded = rl.load(tmp_path / "net.onnx", output="probabilities")
    np.testing.assert_allclose(loaded(X), network.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(rl.load(tmp_path / "net.onnx")(X), loaded(X))


def test_a_regressor(tmp_path: Path) -> None:
    network = fitted(neural_network.MLPRegressor, X[:, 0] * X[:, 1])
    convert(network, tmp_path / "net.onnx")
    np.testing.assert_allclose(rl.load(tmp_path / "net.onnx")(X)[:, 0], network.predict(X), atol=1e-5)
