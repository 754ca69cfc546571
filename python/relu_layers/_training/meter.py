"""The measures of an epoch: its row of the history, collected batch by batch without another pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.layers import ReLU
from relu_layers.losses import Loss


class StepResult(NamedTuple):
    """What one minibatch gave: its loss, the outputs that the loss looked at, and its penalty."""

    value: float
    outputs: Array
    penalty: float


class EpochMeter:
    """Loss, accuracy and dead units of the epoch so far.

    The loss is the mean over batches, each weighted with what its own mean divided by, so that it is the loss
    of all rows at once if the weights did not change in between; with ``normalization="none"`` it is the sum.

    Parameters
    ----------
    model : Sequential
    loss : Loss
    depth : int
        Layers before the loss: the ReLUs among them are watched.
    penalized : bool
        Whether there is a penalty to record.
    """

    def __init__(self, model: Any, loss: Loss, depth: int, penalized: bool) -> None:
        self._model, self._loss, self._penalized = model, loss, penalized
        self._units = [i for i, layer in enumerate(model.layers[:depth]) if isinstance(layer, ReLU)]
        self._active: list[Array | None] = [None] * len(self._units)
        self.begin()

    def begin(self) -> None:
        """Forget the last epoch."""
        self._loss_sum = self._share_sum = 0.0
        self._penalty_sum, self._rows = 0.0, 0
        self._right = self._counted = 0.0
        for active in self._active:
            if active is not None:
                active.fill(0)

    def add(self, result: StepResult, target: Array, sample_weight: Array | None = None) -> None:
        """Add a batch that ran in the layers, and what it was compared with."""
        value, y, penalty = result
        self._penalty_sum += penalty * len(y)
        self._rows += len(y)
        share = self._loss.batch_share(len(y), target, sample_weight)
        self._share_sum += share
        self._loss_sum += value * share
        if self._loss.counts_with_op(y, target):
            self._right += self._loss.count_right(y, target)
            self._counted += target.size
        else:
            self.add_accuracy(y, target)
        self._mark_active()

    def observe(self, y: Array, target: Array) -> tuple[int, bool]:
        """Run the ops of `add` alone, for a capture: `add_stretch` adds what they find.

        Returns
        -------
        counted : int
            How many predictions of such a batch the ops count, 0 if they count none.
        measured : bool
            Whether the ops find everything that `add` adds.
        """
        counts = self._loss.counts_with_op(y, target)
        if counts:
            self._loss.count_right(y, target)
        self._mark_active()
        return target.size if counts else 0, counts or self._loss.metric_name is None

    def add_stretch(
        self,
        losses: Array,
        penalties: Array,
        correct: int,
        batches: Iterable[tuple[Array, ...]],
        rows: int,
        *,
        weighted: bool,
        counted: int,
    ) -> None:
        """Add consecutive batches of ``rows`` rows that a capture ran.

        ``batches`` gives targets and weights of each, taken only where they decide on the batch's share.
        ``counted`` is how many predictions of a batch were counted, 0 if the capture does not count.
        """
        loss = self._loss
        if loss.shares_by_rows(weighted):
            share = 1.0 if loss.normalization == "none" else float(rows)
            shares: Iterable[float] = itertools.repeat(share, len(losses))
        else:
            shares = (loss.batch_share(rows, *batch) for batch in batches)
        for value, penalty, share in zip(losses.tolist(), penalties.tolist(), shares, strict=True):
            self._penalty_sum += penalty * rows
            self._share_sum += share
            self._loss_sum += value * share
        self._rows += rows * len(losses)
        if counted:
            self._right += correct
            self._counted += counted * len(losses)

    def add_accuracy(self, y: Array, target: Array) -> None:
        """Add a batch's right predictions, as the loss counts them."""
        accuracy = self._loss.accuracy(y, target)
        if accuracy is not None and accuracy == accuracy:
            counted = self._loss.positions(target)
            self._right += accuracy * counted
            self._counted += counted

    def record(self) -> dict[str, Any]:
        """Return the epoch's columns."""
        loss: float = self._loss_sum
        if self._loss.normalization != "none":
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
            x = self._model._passes.training_input(index)
            if x is None or not x.size:
                continue
            active = self._active[place]
            if active is None or len(active) != x.shape[-1]:
                active = self._active[place] = np.zeros(x.shape[-1], dtype=np.uint8)
            self._model.ops.mark_active(x, active)


def recorded_columns(loss: Loss, penalized: bool, validated: bool) -> tuple[str, ...]:
    """Return the names of the columns that a fit records."""
    measured = ("loss",) if loss.metric_name is None else ("loss", "accuracy")
    validation = tuple(f"validation_{name}" for name in measured) if validated else ()
    penalty = ("penalty",) if penalized else ()
    return (*measured, *penalty, *validation, "learning_rate", "dead_units")
