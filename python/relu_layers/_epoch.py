"""What an epoch's row of the history is made from, collected batch by batch without another pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._configured import Array
from relu_layers.layers import ReLU
from relu_layers.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy


class EpochMeter:
    """Loss, accuracy and dead units of the epoch so far.

    The loss is the mean over batches, each weighted with what its own mean divided by, so that it is the loss
    of all rows at once if the weights did not change in between; with ``normalization="none"`` it is the sum.
    """

    def __init__(self, model: Any, loss: Any, depth: int) -> None:
        self._model, self._loss = model, loss
        self._units = [i for i, layer in enumerate(model.layers[:depth]) if isinstance(layer, ReLU)]
        self._active: list[Array | None] = [None] * len(self._units)
        self._best = np.empty(0, dtype=np.intp)
        self._equal = np.empty(0, dtype=bool)
        self.begin()

    def begin(self) -> None:
        """Forget the last epoch."""
        self._loss_sum = self._share_sum = 0.0
        self._right = self._counted = 0.0
        self._dead: list[int | None] = [None] * len(self._units)
        for active in self._active:
            if active is not None:
                active.fill(0)

    def add(self, value: float, y: Array, target: Array, sample_weight: Array | None = None) -> None:
        """Add a batch: its loss, the outputs it was computed from, and what they were compared with."""
        share = _share(self._loss, y, target, sample_weight)
        self._share_sum += share
        self._loss_sum += value * share
        self._add_accuracy(y, target)
        for place, index in enumerate(self._units):
            if self._dead[place] != 0:
                self._mark(place, self._model._training_input(index))

    def record(self) -> dict[str, Any]:
        """Return the epoch's columns."""
        loss: float = self._loss_sum
        if getattr(self._loss, "normalization", None) != "none":
            loss = loss / self._share_sum if self._share_sum else 0.0
        record: dict[str, Any] = {"loss": loss}
        if self._counted:
            record["accuracy"] = self._right / self._counted
        return record

    def dead_units(self) -> tuple[int, ...]:
        """Return for each ReLU layer the number of units that no row of the epoch made positive."""
        return tuple(0 if count is None else count for count in self._dead)

    def _mark(self, place: int, x: Array | None) -> None:
        if x is None or not x.size:
            return
        active = self._active[place]
        if active is None or len(active) != x.shape[-1]:
            active = self._active[place] = np.zeros(x.shape[-1], dtype=np.uint8)
        self._dead[place] = self._model.ops.mark_active(x, active)

    def _add_accuracy(self, y: Array, target: Array) -> None:
        loss = self._loss
        plain = type(loss) is SoftmaxCrossEntropy and loss.ignore_label is None and loss.axis in (-1, 1)
        if plain and y.ndim == 2 and target.ndim == 1:
            rows = len(y)
            if len(self._best) < rows:
                self._best, self._equal = np.empty(rows, dtype=np.intp), np.empty(rows, dtype=bool)
            best, equal = self._best[:rows], self._equal[:rows]
            np.argmax(y, axis=1, out=best)
            np.equal(best, target, out=equal)
            self._right += np.count_nonzero(equal)
            self._counted += rows
            return
        measure = getattr(loss, "accuracy", None)
        accuracy = None if measure is None else measure(y, target)
        if accuracy is not None and accuracy == accuracy:
            ignored = getattr(loss, "ignore_label", None)
            counted = target.size if ignored is None else np.count_nonzero(target != ignored)
            self._right += accuracy * counted
            self._counted += counted


def _share(loss: Any, y: Array, target: Array, sample_weight: Array | None) -> float:
    """Return what the mean of this batch divided by, up to a factor that all batches share; 1 for a sum."""
    rows = float(len(y))
    if not isinstance(loss, Loss):
        return rows
    normalization = getattr(loss, "normalization", "full")
    if normalization == "none":
        return 1.0
    if normalization != "valid":
        return rows
    ignored = getattr(loss, "ignore_label", None)
    class_weight = loss.class_weight if isinstance(loss, SoftmaxCrossEntropy) else None
    if isinstance(loss, SoftmaxCrossEntropy) and target.dtype.kind == "f":
        ignored = class_weight = None
    if ignored is None and class_weight is None:
        return rows if sample_weight is None else float(sample_weight.sum())
    counted = np.ones(target.shape) if ignored is None else (target != ignored).astype(np.float64)
    if class_weight is not None:
        counted *= np.take(np.asarray(class_weight), np.where(counted > 0, target, 0))
    if sample_weight is not None:
        counted *= sample_weight.reshape(-1, *[1] * (counted.ndim - 1))
    return float(counted.sum())


def whole_loss(
    loss: Any, y: Array, target: Array, sample_weight: Array | None, top_k: int
) -> dict[str, float]:
    """Return loss and, where there is such a thing, accuracy of outputs ``y``, which may be overwritten."""
    measure = getattr(loss, "accuracy", None)
    ranked = {} if top_k == 1 else {"top_k": top_k}
    accuracy = None if measure is None else measure(y, target, **ranked)
    options: dict[str, Any] = {} if sample_weight is None else {"sample_weight": sample_weight}
    if isinstance(loss, Loss):
        options["out"] = y
    result = {"loss": float(loss(y, target, **options)[0])}
    if accuracy is not None:
        result["accuracy"] = float(accuracy)
    return result


def has_accuracy(loss: Any) -> bool:
    """Return whether the history will have an accuracy."""
    if isinstance(loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy)):
        return True
    return not isinstance(loss, Loss) and hasattr(loss, "accuracy")
