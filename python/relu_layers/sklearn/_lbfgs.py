"""Solver 'lbfgs': SciPy's L-BFGS-B on the whole data, loss and gradient from the production kernels."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from relu_layers.layers import Dense
from relu_layers.losses import Loss
from relu_layers.sklearn._stochastic import EncodedExamples

Array = np.ndarray[Any, np.dtype[Any]]


def fit(estimator: Any, loss: Any, train: EncodedExamples) -> None:
    """Minimise the loss of all rows, the L2 term included, starting from the model's weights."""
    objective = Objective(estimator, loss, train)
    end = None if estimator.time_limit is None else time.monotonic() + estimator.time_limit

    def look_at_the_clock(*_: Any, **__: Any) -> None:
        if end is not None and time.monotonic() >= end:
            raise StopIteration

    flat = estimator.model_.flat_params
    result = scipy.optimize.minimize(
        objective,
        flat.astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        callback=look_at_the_clock,
        options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
    )
    np.copyto(flat, result.x, casting="same_kind")
    estimator.n_iter_ = min(int(result.nit), estimator.max_iter)
    estimator.loss_ = objective.reported(result.x)
    if estimator.verbose:
        print(f"L-BFGS: {result.nit} iterations, {result.nfev} evaluations, loss = {estimator.loss_:.8f}")
    if end is not None and time.monotonic() >= end:
        reason = f"time_limit of {estimator.time_limit:g} s reached after {estimator.n_iter_} iterations"
    elif result.status != 0:
        reason = f"lbfgs failed to converge after {result.nit} iteration(s) (status={result.status}): {result.message}"
    else:
        return
    warnings.warn(
        f"{reason}. You might also want to scale the data, or to raise max_iter or max_fun.",
        ConvergenceWarning,
        stacklevel=4,
    )


class Objective:
    """Loss and gradient as a function of all parameters, in the order of ``model.flat_params``."""

    def __init__(self, estimator: Any, loss: Any, train: EncodedExamples) -> None:
        self._model, self._loss, self._train = estimator.model_, loss, train
        self._share = estimator._loss_share
        self._alpha = float(estimator.alpha)
        dense = [layer for layer in self._model.layers if isinstance(layer, Dense)]
        self._penalized = [
            (layer.params["weight"].reshape(-1), layer.grads["weight"].reshape(-1)) for layer in dense
        ]

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """Return value and gradient, float64; a value that is no number is infinite, so that the search steps back."""
        value, penalty = self._evaluate(parameters)
        gradient = self._model.flat_grads.astype(np.float64)
        total = value + penalty
        if not (np.isfinite(total) and np.isfinite(gradient).all()):
            return np.inf, np.zeros_like(gradient)
        return total, gradient

    def reported(self, parameters: Array) -> float:
        """Return the loss as the estimators report it."""
        value, penalty = self._evaluate(parameters)
        return float(value * self._share + penalty)

    def _evaluate(self, parameters: Array) -> tuple[float, float]:
        model, train = self._model, self._train
        np.copyto(model.flat_params, parameters, casting="same_kind")
        y = model.forward(train.x, training=True)
        if isinstance(self._loss, Loss):
            value, dy = self._loss(y, train.y, sample_weight=train.sample_weight)
        elif train.sample_weight is None:
            value, dy = self._loss(y, train.y)
        else:
            value, dy = self._loss(y, train.y, sample_weight=train.sample_weight)
        model.backward(dy)
        penalty = math.fsum(
            model.ops.l2_penalty(
                param, grad, strength=self._alpha, rows=len(y), sample_weight=train.sample_weight
            )
            for param, grad in self._penalized
        )
        return float(value), penalty
