"""What an epoch's row of the history is made from, collected batch by batch without another pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.layers import ReLU
from relu_layers.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy


class EpochMeter:
    """Loss, accuracy and dead units of the epoch so far.

    The loss is the mean over batches, each weighted with what its own mean divided by, so that it is the loss
    of all rows at once if the weights did not change in between; with ``normalization="none"`` it is the sum.
    """

    def __init__(self, model: Any, loss: Any, depth: int, penalized: bool) -> None:
        self._model, self._loss, self._penalized = model, loss, penalized
        self._units = [i for i, layer in enumerate(model.layers[:depth]) if isinstance(layer, ReLU)]
        self._active: list[Array | None] = [None] * len(self._units)
        self.begin()

    def measures(self, model: Any, loss: Any, penalized: bool) -> bool:
        """Return whether this is the meter for training ``model`` with ``loss``, and with a penalty or without."""
        return self._model is model and self._loss is loss and self._penalized == penalized

    def begin(self) -> None:
        """Forget the last epoch."""
        self._loss_sum = self._share_sum = 0.0
        self._penalty_sum, self._rows = 0.0, 0
        self._right = self._counted = 0.0
        for active in self._active:
            if active is not None:
                active.fill(0)

    def add(
        self,
        value: float,
        y: Array,
        target: Array,
        sample_weight: Array | None = None,
        *,
        penalty: float = 0.0,
    ) -> None:
        """Add a batch: its loss, the outputs it was computed from, what they were compared with, and its penalty."""
        self._penalty_sum += penalty * len(y)
        self._rows += len(y)
        share = _share(self._loss, len(y), target, sample_weight)
        self._share_sum += share
        self._loss_sum += value * share
        if self.counts(y, target):
            self._right += self._count(y, target)
            self._counted += target.size
        else:
            self.add_accuracy(y, target)
        self._mark_active()

    def observe(self, y: Array, target: Array) -> None:
        """Run the ops of `add` alone, for a capture: `add_stretch` adds what they find."""
        if self.counts(y, target):
            self._count(y, target)
        self._mark_active()

    def measures_all(self, y: Array, target: Array) -> bool:
        """Return whether `observe` finds everything that `add` adds."""
        return self.counts(y, target) or not has_accuracy(self._loss)

    def add_stretch(
        self,
        losses: Array,
        correct: int,
        batches: Iterable[tuple[Array, ...]],
        rows: int,
        *,
        weighted: bool,
        counted: int,
        penalty: float,
    ) -> None:
        """Add consecutive batches of ``rows`` rows that a capture ran.

        ``batches`` gives targets and weights of each, taken only where they decide on the batch's share.
        ``penalty`` is the sum of their penalties.
        ``counted`` is how many predictions of a batch were counted, 0 if the capture does not count.
        """
        if _share_is_plain(self._loss, weighted):
            share = 1.0 if getattr(self._loss, "normalization", "full") == "none" else float(rows)
            shares: Iterable[float] = itertools.repeat(share, len(losses))
        else:
            shares = (_share(self._loss, rows, *batch) for batch in batches)
        for value, share in zip(losses.tolist(), shares, strict=True):
            self._share_sum += share
            self._loss_sum += value * share
        self._penalty_sum += penalty * rows
        self._rows += rows * len(losses)
        if counted:
            self._right += correct
            self._counted += counted * len(losses)

    def record(self) -> dict[str, Any]:
        """Return the epoch's columns."""
        loss: float = self._loss_sum
        if getattr(self._loss, "normalization", None) != "none":
            loss = loss / self._share_sum if self._share_sum else 0.0
        record: dict[str, Any] = {"loss": loss}
        if self._penalized:
            record["penalty"] = self._penalty_sum / self._rows
        if self._counted:
            record["accuracy"] = self._right / self._counted
        return record

    def dead_units(self) -> tuple[int, ...]:
        """Return for each ReLU layer the number of units that no row of the epoch made positive."""
        return tuple(
            0 if active is None else active.size - int(np.count_nonzero(active)) for active in self._active
        )

    def _mark_active(self) -> None:
        for place, index in enumerate(self._units):
            x = self._model._training_input(index)
            if x is None or not x.size:
                continue
            active = self._active[place]
            if active is None or len(active) != x.shape[-1]:
                active = self._active[place] = np.zeros(x.shape[-1], dtype=np.uint8)
            self._model.ops.mark_active(x, active)

    def counts(self, y: Array, target: Array) -> bool:
        """Return whether an op counts the right predictions."""
        loss = self._loss
        if type(loss) is SigmoidCrossEntropy:
            return loss.ignore_label is None and y.shape == target.shape
        plain = type(loss) is SoftmaxCrossEntropy and loss.ignore_label is None and loss.axis in (-1, 1)
        return plain and y.ndim == 2 and target.ndim == 1

    def _count(self, y: Array, target: Array) -> int:
        ops = self._model.ops
        count = ops.count_correct if type(self._loss) is SoftmaxCrossEntropy else ops.count_agreeing
        return int(count(y, target))

    def add_accuracy(self, y: Array, target: Array) -> None:
        """Add a batch's right predictions, as the loss counts them."""
        loss = self._loss
        measure = getattr(loss, "accuracy", None)
        accuracy = None if measure is None else measure(y, target)
        if accuracy is not None and accuracy == accuracy:
            ignored = getattr(loss, "ignore_label", None)
            counted = target.size if ignored is None else np.count_nonzero(target != ignored)
            self._right += accuracy * counted
            self._counted += counted


def _share_is_plain(loss: Any, weighted: bool) -> bool:
    """Return whether `_share` depends on the number of rows alone."""
    normalization = getattr(loss, "normalization", "full")
    if not isinstance(loss, Loss) or normalization != "valid":
        return True
    unweighted = getattr(loss, "class_weight", None) is None and getattr(loss, "ignore_label", None) is None
    return unweighted and not weighted


def _share(loss: Any, count: int, target: Array, sample_weight: Array | None = None) -> float:
    """Return what the mean of this batch divided by, up to a factor that all batches share; 1 for a sum."""
    rows = float(count)
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
