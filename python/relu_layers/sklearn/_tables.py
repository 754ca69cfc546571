"""The package's own preprocessing as a transformer, and a fitted estimator as a model file of the command line."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from relu_layers.layers import Dense
from relu_layers.model import Sequential
from relu_layers.preprocessing import ClassTarget, NumberTarget, Preprocessing
from relu_layers.sklearn._base import BaseMLP
from relu_layers.sklearn._classifier import MLPClassifier
from relu_layers.sklearn._scalers import READ, preprocessing_of

Array = np.ndarray[Any, np.dtype[Any]]


class TablePreprocessor(TransformerMixin, BaseEstimator):
    """Numbers standardised, texts one-hot: `relu_layers.preprocessing.Preprocessing` as a transformer.

    What ``relu-layers train`` does to a table, so that a pipeline with an estimator of this package can become a
    model file that ``relu-layers predict`` applies to tables; see `to_model`.

    Parameters
    ----------
    standardize : {'column', 'table', 'none'}, default='column'
        One scale per column, one for all, or none.
    missing : {'error', 'mean'}, default='error'
        What a missing value does: refuse, or stand for the mean (the most frequent text).
    max_categories : int, default=100
        Most different texts of a column.
    unknown : {'error', 'zero'}, default='error'
        What a text that `fit` did not see does: refuse, or be none of the known.
    dtype : dtype, default=numpy.float64
        Of the features.

    Attributes
    ----------
    preprocessing_ : relu_layers.preprocessing.Preprocessing
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Columns of the frame that was fitted.
    """

    def __init__(
        self,
        *,
        standardize: str = "column",
        missing: str = "error",
        max_categories: int = 100,
        unknown: str = "error",
        dtype: Any = np.float64,
    ) -> None:
        self.standardize = standardize
        self.missing = missing
        self.max_categories = max_categories
        self.unknown = unknown
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> TablePreprocessor:
        """Learn scales and categories of the columns of a frame (pandas, polars) or of an array of numbers."""
        made = Preprocessing(
            standardize=self.standardize, missing=self.missing, max_categories=self.max_categories
        )
        self.preprocessing_ = made.fit(self._table(X, reset=True))
        return self

    def transform(self, X: Any) -> Array:
        """Return the features, (n_samples, n_features)."""
        check_is_fitted(self)
        return self.preprocessing_.transform(
            self._table(X, reset=False), unknown=self.unknown, dtype=self.dtype
        )

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the features: the column's own, or ``column=category``."""
        check_is_fitted(self)
        return np.array(self.preprocessing_.feature_names, dtype=object)

    def _table(self, X: Any, *, reset: bool) -> Any:
        """Return the columns by name; those of an array are x0, x1, ..."""
        names = getattr(X, "columns", None)
        if names is None:
            finite = "allow-nan" if self.missing == "mean" else True
            return validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite=finite)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return X

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: missing values may be taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "mean"
        tags.input_tags.string = True
        return tags


def to_model(fitted: Any, target: str = "target") -> Sequential:
    """Return a fitted estimator, or a pipeline of preprocessing and one, as a model with its preprocessing.

    Before the estimator stands a `TablePreprocessor`, or scikit-learn's StandardScaler, MinMaxScaler, MaxAbsScaler,
    RobustScaler, several of them too, and a SimpleImputer of numbers before them. The model is independent of the
    estimator. ``model.save("model.npz")`` writes a file for ``relu-layers predict``.

    Parameters
    ----------
    fitted : MLPClassifier, MLPRegressor or sklearn.pipeline.Pipeline
    target : str
        Name of the column that the model predicts.

    Returns
    -------
    Sequential
        For two classes with two outputs, whose softmax gives the same probabilities.

    Raises
    ------
    TypeError
        It is, or holds, something else.
    ValueError
        It predicts several labels or outputs, or Poisson rates, or was fitted on one class; a scaler clips.
    """
    steps = [step for _, step in fitted.steps] if hasattr(fitted, "steps") else [fitted]
    estimator, before = steps[-1], [step for step in steps[:-1] if step != "passthrough"]
    own = len(before) == 1 and isinstance(before[0], TablePreprocessor)
    if not isinstance(estimator, BaseMLP) or not (own or all(type(step) in READ for step in before)):
        names = ", ".join(type(step).__name__ for step in steps)
        raise TypeError(
            f"to_model: got {names}; expected MLPClassifier or MLPRegressor, alone or after a TablePreprocessor or "
            f"{', '.join(kind.__name__ for kind in READ)}"
        )
    check_is_fitted(estimator)
    model = estimator.model_.astype(estimator.model_.dtype)
    preprocessing = Preprocessing(standardize="none")
    if own:
        preprocessing = Preprocessing.from_dict(before[0].preprocessing_.to_dict())
    elif before:
        preprocessing = preprocessing_of(before)
    if not isinstance(estimator, MLPClassifier):
        if estimator.out_activation_ == "exp" or estimator.n_outputs_ > 1:
            raise ValueError("to_model: a model file predicts one number per row, without an exponential")
        preprocessing.target = NumberTarget(str(target), 0.0, 1.0)
    elif estimator.n_outputs_ > 1 and estimator.out_activation_ == "logistic":
        raise ValueError("to_model: a model file predicts one class per row, not several labels")
    else:
        if len(estimator.classes_) < 2:
            raise ValueError(
                f"to_model: it was fitted on the class {str(estimator.classes_[0])!r} alone, expected two or more"
            )
        preprocessing.target = ClassTarget(str(target), tuple(_class_name(one) for one in estimator.classes_))
        if estimator.n_outputs_ == 1:
            model = _with_two_outputs(model)
    model.preprocessing = preprocessing
    return model


def _class_name(one: Any) -> str | int | float:
    """Return a class as plain text or number; tables hold no booleans, but 0 and 1."""
    if isinstance(one, str):
        return str(one)
    value = one.item() if isinstance(one, np.generic) else one
    return int(value) if isinstance(value, bool) else value


def _with_two_outputs(model: Sequential) -> Sequential:
    """Return the model whose outputs are 0 and the one of ``model``: softmax of the pair is its sigmoid."""
    last = model.layers[-1]
    assert isinstance(last, Dense)
    values = {key: value.copy() for key, value in model.params.items()}
    place = len(model.layers) - 1
    for name in ("weight", "bias"):
        old = values[f"{place}.{name}"]
        values[f"{place}.{name}"] = np.concatenate([np.zeros_like(old), old], axis=-1)
    wider = Sequential(
        *(copy.deepcopy(layer) for layer in model.layers[:-1]),
        Dense(last.in_features, 2, weight_init="zeros"),
        dtype=model.dtype,
        rng=0,
    )
    wider.load_params(values)
    return wider
