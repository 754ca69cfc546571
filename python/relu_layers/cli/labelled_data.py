"""A model file with rows whose answers are known, and the loss they are measured with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from relu_layers import checkpoint
from relu_layers.cli.errors import Problem
from relu_layers.cli.predict import columns_of, features_of, refuse_commas
from relu_layers.cli.tables import load_table
from relu_layers.layers import Sigmoid
from relu_layers.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.preprocessing import CategoryColumn, ClassTarget, Preprocessing

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class LabelledData:
    """A model, rows as it takes them, their targets, and the loss that fits."""

    model: Sequential
    x: Array
    y: Array
    loss: Loss

    def some(self, count: int, seed: int) -> tuple[Array, Array]:
        """Return at most ``count`` rows of x and y, picked by ``seed``."""
        if count >= len(self.x):
            return self.x, self.y
        rows = np.sort(np.random.default_rng(seed).choice(len(self.x), count, replace=False))
        return self.x[rows], self.y[rows]


def load_labelled_data(
    path: Path, data: str, target_name: str | None, form: CsvForm | None = None
) -> LabelledData:
    """Return the model in ``path`` with the rows of ``data``, written as ``form`` says, which must hold the target."""
    if not path.exists():
        raise Problem(f"{path}: no such model file")
    model: Sequential = checkpoint.load(path)
    preprocessing: Preprocessing | None = model.preprocessing
    target = None if preprocessing is None else preprocessing.target
    text = [column.name for column in columns_of(preprocessing) if isinstance(column, CategoryColumn)]
    if isinstance(target, ClassTarget) and isinstance(target.classes[0], str):
        text.append(target.name)
    table = load_table(data, text=text, form=form)
    refuse_commas(preprocessing, table, form)
    name = target_name or (table.target if target is None else target.name)
    if name is None:
        raise Problem("which column holds the answers? the model file does not say: give --target COLUMN")
    values = table.column(name)
    x, usable = features_of(model, preprocessing, table, "error", name)
    if not len(x):
        raise Problem(f"{table.name} has no row without missing values")
    if preprocessing is not None and target is not None:
        y = preprocessing.encode_target(values[usable], dtype=model.dtype)
        loss: Loss = SoftmaxCrossEntropy() if isinstance(target, ClassTarget) else SquaredError()
        return LabelledData(model, x, y, loss)
    if values.dtype.kind not in "iufb":
        raise Problem(f"column {name!r} is text, and the model file does not say which classes it stands for")
    values = values[usable]
    outputs = model(x[:1]).shape[-1]
    if model.predicts == "numbers" and outputs > 1:
        raise Problem(
            f"the model gives {outputs} numbers for each row, but the answers are one column, {name!r}"
        )
    if values.dtype.kind in "iub" and outputs > 1:
        return LabelledData(model, x, values.astype(np.int64), SoftmaxCrossEntropy())
    loss = SigmoidCrossEntropy() if isinstance(model.layers[-1], Sigmoid) else SquaredError()
    return LabelledData(model, x, values.astype(model.dtype).reshape(-1, 1), loss)
