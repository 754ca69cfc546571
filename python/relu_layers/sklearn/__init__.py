"""scikit-learn's protocol (the extra ``sklearn``): its multi-layer perceptrons on this package's kernels.

`MLPClassifier` and `MLPRegressor` take the place of those in ``sklearn.neural_network``. scikit-learn is imported
when one of the names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relu_layers._support.extras import how_to_install

if TYPE_CHECKING:
    from relu_layers.sklearn._classifier import MLPClassifier
    from relu_layers.sklearn._datasets import load_digits
    from relu_layers.sklearn._regressor import MLPRegressor
    from relu_layers.sklearn._tables import TablePreprocessor, to_model

__all__ = ["MLPClassifier", "MLPRegressor", "TablePreprocessor", "load_digits", "to_model"]

_PLACES = {
    "MLPClassifier": "_classifier",
    "MLPRegressor": "_regressor",
    "TablePreprocessor": "_tables",
    "load_digits": "_datasets",
    "to_model": "_tables",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'relu_layers.sklearn' has no attribute {name!r}")
    try:
        return getattr(import_module(f"relu_layers.sklearn.{_PLACES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "sklearn":
            raise
        raise ImportError(f"{name} needs scikit-learn 1.6 or newer: {how_to_install('sklearn')}") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
