"""The losses of the estimators, as scikit-learn weighs them: summed over outputs, averaged over rows.

What the package's own losses cannot say is computed here in NumPy, ``loss(y, target, sample_weight=None)``
-> (value, dy). With weights the average is divided by their sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError

Array = np.ndarray[Any, np.dtype[Any]]

REGRESSION = ("squared_error", "poisson", "absolute_error", "huber")
_HUBER = 1.35


def softmax_loss(label_smoothing: float) -> SoftmaxCrossEntropy:
    """Return the log loss of several classes."""
    return SoftmaxCrossEntropy(label_smoothing=label_smoothing)


def logistic_loss(outputs: int, weighted: bool) -> Any:
    """Return the log loss of one or several yes-or-no questions, summed over them."""
    if outputs == 1:
        return SigmoidCrossEntropy(normalization="valid")
    return WeightedLogistic(outputs) if weighted else SigmoidCrossEntropy(normalization="batch_size")


def regression_loss(name: Any, outputs: int) -> Any:
    """Return the loss of `MLPRegressor` called ``name``; a callable is its own loss."""
    if callable(name):
        return name
    if name == "squared_error":
        return SquaredError(0.5 * outputs, "valid")
    return {"poisson": Poisson, "absolute_error": AbsoluteError, "huber": Huber}[name]()


class WeightedLogistic:
    """Log loss of several yes-or-no questions with weighted rows."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self._mean = SigmoidCrossEntropy(normalization="valid")

    def __call__(self, y: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        """Return the loss of logits ``y`` and its gradient."""
        value, dy = self._mean(y, target, sample_weight=sample_weight)
        return value * self.outputs, dy * y.dtype.type(self.outputs)


class _ByRows:
    """A loss that is computed element by element and averaged over rows."""

    def __call__(self, y: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, Array]:
        """Return the loss of outputs ``y`` against ``target``, both (batch, outputs), and its gradient."""
        with np.errstate(over="ignore", invalid="ignore"):
            losses, dy = self._elements(y, target)
        weight = np.full(len(y), 1.0, y.dtype) if sample_weight is None else sample_weight
        total = weight.sum(dtype=np.float64)
        share = (weight / total if total else np.zeros_like(weight)).astype(y.dtype)
        return float((losses.sum(axis=1) * share).sum()), dy * share[:, None]

    def _elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        """Return the loss of each element and its derivative by y."""
        raise NotImplementedError


class Poisson(_ByRows):
    """Half the Poisson deviance of a rate ``exp(y)``: ``t*log(t) - t*y - t + exp(y)``."""

    def _elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        rate = np.exp(y)
        positive = np.where(target > 0, target, 1)
        return target * np.log(positive) - target * y - target + rate, rate - target


class AbsoluteError(_ByRows):
    """``|y - t|``; its derivative at 0 is 0."""

    def _elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        difference = y - target
        return np.abs(difference), np.sign(difference)


class Huber(_ByRows):
    """Huber's loss (1964): ``d**2 / 2`` where ``|d| <= 1.35``, else ``1.35 * (|d| - 1.35 / 2)``, for d = y - t."""

    def _elements(self, y: Array, target: Array) -> tuple[Array, Array]:
        difference = y - target
        size = np.abs(difference)
        near = size <= _HUBER
        value = np.where(near, 0.5 * difference * difference, _HUBER * (size - 0.5 * _HUBER))
        return value, np.clip(difference, -_HUBER, _HUBER)
