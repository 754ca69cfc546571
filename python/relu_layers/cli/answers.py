"""Outputs of a model as answers: classes, or numbers; and what to do where the file does not say which."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from relu_layers.layers import Dropout, LogSoftmax, Sigmoid, Softmax
from relu_layers.preprocessing import ClassTarget, Preprocessing

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
UNSAID = (
    "note: the model file does not say whether its {count} outputs are classes or numbers, so all are written; with "
    "--proba they are classes"
)


def meaning(model: Any, outputs: int, *, asked_for_classes: bool, truth: Array | None) -> str:
    """Return what the outputs of a model without a target are: "classes", "labels", "numbers" or "unsaid".

    ``truth`` is a column of true values, if there is one: whole numbers below the number of outputs are classes.
    """
    last = next((layer for layer in reversed(model.layers) if not isinstance(layer, Dropout)), None)
    if outputs < 2 or model.predicts == "numbers":
        return "numbers"
    if asked_for_classes:
        return "classes"
    if isinstance(last, Sigmoid):
        return "labels"
    if model.predicts == "classes" or isinstance(last, (Softmax, LogSoftmax)):
        return "classes"
    if truth is not None and truth.dtype.kind in "iuf" and len(truth):
        whole = bool((truth == np.floor(truth)).all())
        if whole and truth.min() >= 0 and truth.max() < outputs:
            return "classes"
    return "unsaid"


def answers(preprocessing: Preprocessing | None, y: Array, kind: str) -> Array:
    """Return one prediction per row: a class, a number in the unit of the target, or a row of all outputs."""
    target = None if preprocessing is None else preprocessing.target
    if preprocessing is None or target is None:
        if kind == "classes":
            return np.asarray(y.argmax(axis=-1))
        found = (y > 0.5).astype(np.int64) if kind == "labels" else y
        return found if y.shape[-1] > 1 else found.reshape(len(y))
    outputs = len(target.classes) if isinstance(target, ClassTarget) else 1
    if y.ndim != 2 or y.shape[1] != outputs:
        raise ValueError(f"the model gives outputs of shape {y.shape[1:]}, but its target needs {outputs}")
    values = y.argmax(axis=1) if isinstance(target, ClassTarget) else y[:, 0]
    return preprocessing.decode_target(values)


def header_of(predicted: Array) -> list[str]:
    """Return the names of the columns of predictions."""
    return ["prediction"] if predicted.ndim == 1 else [f"output_{i}" for i in range(predicted.shape[1])]
