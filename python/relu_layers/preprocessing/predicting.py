"""Answers of a model to the rows of a table, through the preprocessing that came with it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relu_layers.preprocessing.columns import Array, NumberColumn
from relu_layers.preprocessing.pipeline import Preprocessing
from relu_layers.preprocessing.targets import ClassTarget

# A standardised column has a mean near 0: rows with such a one have not been standardised.
_UNSCALED_FROM = 10.0


def predict_table(model: Any, table: Any, unknown: str) -> Array:
    """Return a class, or a number in the unit of the target, for each row: see `Sequential.predict_table`."""
    preprocessing = model.preprocessing
    if not isinstance(preprocessing, Preprocessing) or not preprocessing.columns:
        raise ValueError(
            "predict_table: the model has no preprocessing for columns; predict(x) takes rows of its inputs"
        )
    x = preprocessing.transform(_columns(preprocessing, table), unknown=unknown, dtype=model.dtype)
    target = preprocessing.target
    if target is None:
        answers: Array = model.predict(x)
        return answers
    y = model(x)
    outputs = len(target.classes) if isinstance(target, ClassTarget) else 1
    if y.ndim != 2 or y.shape[1] != outputs:
        raise ValueError(
            f"predict_table: the model gives outputs of shape {y.shape[1:]}, but its target needs {outputs}"
        )
    values = y.argmax(axis=1) if isinstance(target, ClassTarget) else y[:, 0]
    return preprocessing.decode_target(values)


def _columns(preprocessing: Preprocessing, table: Any) -> Any:
    """Return a table as `Preprocessing.transform` takes it: of rows as dicts, of an array by position."""
    if isinstance(table, Mapping):
        return table
    if hasattr(table, "to_dict") and hasattr(table, "get_column"):  # of polars
        return {str(name): table.get_column(name).to_list() for name in table.columns}
    if hasattr(table, "columns") and hasattr(table, "items"):
        return table
    if isinstance(table, Sequence) and table and all(isinstance(row, Mapping) for row in table):
        return {name: [row.get(name) for row in table] for name in table[0]}
    # As objects, so that numbers beside texts stay numbers.
    rows = table if isinstance(table, np.ndarray) else np.asarray(table, dtype=object)
    names = [column.name for column in preprocessing.columns]
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise ValueError(
            f"predict_table: table is a {type(table).__name__} of shape {rows.shape}, expected a frame, a mapping of "
            f"columns, a list of dicts, or rows of {len(names)} columns: {', '.join(names)}"
        )
    return {name: rows[:, index].tolist() for index, name in enumerate(names)}


def warn_of_unscaled(model: Any, x: Array) -> None:
    """Warn where rows for a model with a preprocessing look as if they had not been through it."""
    preprocessing = model.preprocessing
    if not isinstance(preprocessing, Preprocessing) or x.ndim != 2 or not len(x):
        return
    columns = preprocessing.columns
    if x.shape[1] != preprocessing.n_features or not all(isinstance(one, NumberColumn) for one in columns):
        return
    means = np.abs(x.mean(axis=0, dtype=np.float64))
    for index in np.flatnonzero(means > _UNSCALED_FROM):
        column = columns[int(index)]
        if isinstance(column, NumberColumn) and (column.mean, column.scale) != (0.0, 1.0):
            warnings.warn(
                f"predict: the rows look unscaled (column {column.name!r} has a mean of {means[index]:.4g}, about 0 "
                "after the preprocessing of this model): predict_table(rows) applies it",
                UserWarning,
                stacklevel=3,
            )
            return
