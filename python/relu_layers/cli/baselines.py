"""What a model has to beat: the most frequent class or the mean, and a linear model of the same features."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# More rows change the line by less than its digits; more features than that would take longer than the training.
_MOST_ROWS = 10_000
_MOST_FEATURES = 2_000
_STEPS = 300
_SEED = 0


def constant_prediction(y: Array, classes: int) -> int | float:
    """Return the most frequent label, or the mean of the targets where there are no classes."""
    return int(np.bincount(y, minlength=classes).argmax()) if classes else float(y.mean())


def linear_outputs(train: tuple[Array, Array], x: Array, classes: int) -> Array | None:
    """Return the outputs of a linear model for the rows x: one per class, or one; None with too many features.

    Ridge regression with the penalty 1, or multinomial logistic regression with C = 1, as scikit-learn's defaults.
    Of many rows a sample is used.
    """
    features, target = train
    if features.shape[1] > _MOST_FEATURES:
        return None
    if len(features) > _MOST_ROWS:
        rows = np.random.default_rng(_SEED).choice(len(features), _MOST_ROWS, replace=False)
        features, target = features[rows], target[rows]
    known = features.astype(np.float64)
    mean = known.mean(axis=0)
    known -= mean
    wanted = x.astype(np.float64) - mean
    if classes:
        weight, bias = _logistic(known, target, classes)
        logits: Array = wanted @ weight + bias
        return logits
    centred = target.astype(np.float64)
    level = centred.mean(axis=0)
    gram = known.T @ known + np.eye(known.shape[1])
    values: Array = wanted @ np.linalg.solve(gram, known.T @ (centred - level)) + level
    return values


def _logistic(x: Array, labels: Array, classes: int) -> tuple[Array, Array]:
    """Return weight and bias of a multinomial logistic regression, by Nesterov's accelerated gradient."""
    rows, features = x.shape
    expanded = np.concatenate([x, np.ones((rows, 1))], axis=1)
    onehot = np.eye(classes)[labels]
    decay = np.concatenate([np.full(features, 1.0), [0.0]])[:, None]
    # Half of the largest eigenvalue bounds the curvature of log-sum-exp.
    rate = 1.0 / (0.5 * float(np.linalg.norm(expanded, 2)) ** 2 + 1.0)
    weight = ahead = np.zeros((features + 1, classes))
    for step in range(_STEPS):
        logits = expanded @ ahead
        logits -= logits.max(axis=1, keepdims=True)
        share = np.exp(logits)
        share /= share.sum(axis=1, keepdims=True)
        following = ahead - rate * (expanded.T @ (share - onehot) + decay * ahead)
        ahead = following + step / (step + 3.0) * (following - weight)
        weight = following
    return weight[:-1], weight[-1]
