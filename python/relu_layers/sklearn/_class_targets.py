"""Classes as the network sees them: their numbers on the way in, probabilities and decisions on the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import column_or_1d

from relu_layers import ops
from relu_layers.sklearn._base import checked_data

Array = np.ndarray[Any, np.dtype[Any]]


class ClassTargets:
    """The part of `MLPClassifier` that knows one class per row from a yes or no per label."""

    classes_: Any
    n_outputs_: int
    out_activation_: str
    warm_start: bool

    def _checked_data(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Array, Array]:
        X, y = checked_data(self, X, y, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        found = unique_labels(y)
        if self.warm_start and not incremental:
            if set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {found}"
                )
        elif len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}."
            )
        return X, y

    def _encoded(self, y: Array, dtype: np.dtype[Any]) -> Array:
        """Return class numbers for several classes, else 0 and 1 of ``dtype`` in one column per question."""
        if self._label_binarizer.y_type_ == "multiclass":
            return np.searchsorted(self.classes_, y).astype(np.int64)
        indicators = self._label_binarizer.transform(y)
        if hasattr(indicators, "toarray"):
            indicators = indicators.toarray()
        return np.ascontiguousarray(indicators, dtype=dtype)

    def _outputs(self, target: Array) -> int:
        return len(self.classes_) if target.ndim == 1 else target.shape[1]

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _probabilities(self, z: Array) -> Array:
        if self.out_activation_ == "softmax":
            return ops.softmax_forward(z, out=z)
        return ops.sigmoid_forward(z, out=z)

    def _decision(self, z: Array) -> Array:
        probabilities = self._probabilities(z)
        if self.n_outputs_ == 1:
            probabilities = probabilities.ravel()
        decided: Array = self._label_binarizer.inverse_transform(probabilities)
        return decided
