"""Scores as plain numbers: of a classification with recall, F1 and AUC per class, or of a regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# The classes are uneven from this ratio of the largest to the smallest on.
_UNEVEN = 1.5


def classification_scores(labels: Array, outputs: Array, names: Sequence[object]) -> dict[str, Any]:
    """Return accuracy, number of rows, and per class rows, recall, F1 and the area under its ROC curve.

    ``outputs`` are logits or probabilities, (rows, classes). A class without rows has no recall, one that all rows
    have no area.
    """
    predicted = outputs.argmax(axis=1)
    shares = _softmax(outputs)
    classes = {}
    for index, name in enumerate(names):
        true, said = labels == index, predicted == index
        hits, rows, claims = int((true & said).sum()), int(true.sum()), int(said.sum())
        classes[str(name)] = {
            "rows": rows,
            "recall": hits / rows if rows else None,
            "f1": 2 * hits / (rows + claims) if rows + claims else None,
            "auc": area_under_curve(true, shares[:, index]),
        }
    right = int((labels == predicted).sum())
    return {"rows": len(labels), "right": right, "accuracy": right / len(labels), "classes": classes}


def regression_scores(truth: Array, predicted: Array) -> dict[str, Any]:
    """Return R2 (None where the truth is constant), RMSE and mean absolute error, in the unit of the target."""
    error = predicted - truth
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return {
        "rows": len(truth),
        "r2": 1.0 - float(np.sum(error**2)) / spread if spread else None,
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
    }


def are_uneven(scores: dict[str, Any]) -> bool:
    """Return whether the classes of scores differ much in their number of rows."""
    counts = [entry["rows"] for entry in scores["classes"].values()]
    return bool(max(counts) >= _UNEVEN * min(counts))


def area_under_curve(positive: Array, score: Array) -> float | None:
    """Return the share of pairs of a positive and a negative row that the score orders rightly, ties as half."""
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse.reshape(-1)]
    return float((ranks[positive].sum() - count * (count + 1) / 2.0) / (count * others))


def _softmax(outputs: Array) -> Array:
    powers = np.exp(outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
