"""scikit-learn's own tests of its multi-layer perceptrons, pointed at ours."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn")

from relu_layers.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

# A test of what is private to scikit-learn's implementation, answered by tests of our own.
ELSEWHERE = {"test_gradient": "calls _loss_grad_lbfgs: tests/test_gradcheck.py checks gradients"}


def own_tests() -> ModuleType:
    """Return scikit-learn's test module, its estimators replaced before the module's body runs."""
    import sklearn.neural_network as original

    place = Path(inspect.getfile(original)).parent / "tests" / "test_mlp.py"
    if not place.exists():
        pytest.skip("this scikit-learn is installed without its tests", allow_module_level=True)
    spec = importlib.util.spec_from_file_location("sklearn_test_mlp_with_ours", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    theirs = original.MLPClassifier, original.MLPRegressor
    original.MLPClassifier, original.MLPRegressor = MLPClassifier, MLPRegressor
    try:
        spec.loader.exec_module(module)
    finally:
        original.MLPClassifier, original.MLPRegressor = theirs
    assert module.MLPClassifier is MLPClassifier
    return module


MODULE = own_tests()


@pytest.fixture
def global_random_seed() -> int:
    """A fixture of scikit-learn's own conftest."""
    return 42


def found() -> Iterator[Any]:
    for name, function in vars(MODULE).items():
        if name.startswith("test_") and name not in ELSEWHERE:
            yield name, function


for _name, _function in found():
    globals()[_name] = pytest.mark.filterwarnings("default", "ignore::sklearn.exceptions.ConvergenceWarning")(
        _function
    )


def test_nearly_all_of_them_are_run() -> None:
    total = [name for name in vars(MODULE) if name.startswith("test_")]
    assert set(ELSEWHERE) <= set(total)
    assert len(ELSEWHERE) / len(total) <= 0.05
    assert len(total) >= 30
