"""The measures of an epoch: its row of the history, collected batch by batch without another pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.layers import ReLU
from relu_layers.losses import Loss

# Minibatches of an epoch that are alike: how many, their rows, the predictions counted in each, and its share.
Part: TypeAlias = tuple[int, int, int, float]
# Takes the columns that the batches of an epoch gave, and for each ReLU layer its dead units.
Record: TypeAlias = Callable[[dict[str, Any], tuple[int, ...]], None]


class StepResult(NamedTuple):
    """What one minibatch gave: its loss, the outputs that the loss looked at, and its penalty."""

    value: float
    outputs: Array
    penalty: float


class BatchMeasure(NamedTuple):
    """What an epoch takes from one minibatch.

    ``share`` is what the mean of its loss divided by, ``right`` of ``counted`` predictions are right, ``penalty`` is
    that of each of its ``rows``.
    """

    loss: float
    share: float
    right: float
    counted: float
    penalty: float
    rows: float


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

    Attributes
    ----------
    sums : ndarray, float64 (3,)
        Of the losses, each times what its mean divided by, and of the penalties, each times its rows; captured steps
        add theirs, and leave their last loss behind them.
    """

    def __init__(self, model: Any, loss: Loss, depth: int, penalized: bool) -> None:
        self._model, self._loss, self._penalized = model, loss, penalized
        self._units = [i for i, layer in enumerate(model.layers[:depth]) if isinstance(layer, ReLU)]
        self._active: list[Array | None] = [None] * len(self._units)
        self.sums = np.zeros(3)
        self.begin()

    def begin(self) -> None:
        """Forget the last epoch."""
        self._forget_sums()
        for active in self._active:
            if active is not None:
                active.fill(0)

    def _forget_sums(self) -> None:
        self.sums.fill(0.0)
        self._share_sum = self._rows = 0.0
        self._right = self._counted = 0.0

    def add(self, result: StepResult, target: Array, sample_weight: Array | None = None) -> None:
        """Add a batch that ran in the layers, and what it was compared with."""
        self.take(self.measure(result, target, sample_weight))

    def measure(self, result: StepResult, target: Array, sample_weight: Array | None = None) -> BatchMeasure:
        """Return what a batch that ran in the layers adds, and mark the units that it made active."""
        value, y, penalty = result
        share = self._loss.batch_share(len(y), target, sample_weight)
        if self._loss.counts_with_op(y, target):
            right, counted = float(self._loss.count_right(y, target)), float(target.size)
        else:
            right, counted = self.accurate(y, target)
        self._mark_active()
        return BatchMeasure(value, share, right, counted, penalty, len(y))

    def measure_captured(
        self,
        loss: float,
        penalty: float,
        right: float,
        counted: float,
        rows: int,
        target: Array,
        sample_weight: Array | None,
    ) -> BatchMeasure:
        """Return the same for a batch of ``rows`` rows whose measures a capture found."""
        share = self._loss.batch_share(rows, target, sample_weight)
        return BatchMeasure(loss, share, right, counted, penalty, rows)

    def take(self, measure: BatchMeasure) -> None:
        """Add what `measure` returned, here or on another rank."""
        self.sums[1] += measure.penalty * measure.rows
        self._rows += measure.rows
        self._share_sum += measure.share
        self.sums[0] += measure.loss * measure.share
        self._right += measure.right
        self._counted += measure.counted

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

    def share_of_rows(self, rows: int, weighted: bool) -> float | None:
        """Return what the mean of every batch of ``rows`` rows divides by; None where its targets decide on that."""
        if not self._loss.shares_by_rows(weighted):
            return None
        return 1.0 if self._loss.normalization == "none" else float(rows)

    def add_stretch(self, steps: int, rows: int, correct: int, counted: int, share: float | None) -> None:
        """Add ``steps`` consecutive batches of ``rows`` rows that a capture ran, which has added to `sums`.

        ``counted`` is how many predictions of a batch were counted, 0 if the capture does not count. ``share`` is
        that of each batch; where it is None the losses are not in `sums`: `add_losses` adds them.
        """
        if share is not None:
            self._share_sum += share * steps
        self._rows += rows * steps
        if counted:
            self._right += correct
            self._counted += counted * steps

    def add_losses(self, values: list[float], rows: int, batches: Callable[[int], tuple[Array, ...]]) -> None:
        """Add the losses of a stretch; ``batches(i)`` gives targets and weights of batch i."""
        for i, value in enumerate(values):
            own = self._loss.batch_share(rows, *batches(i))
            self._share_sum += own
            self.sums[0] += value * own

    @property
    def last_loss(self) -> float:
        """The last loss of the stretch before."""
        return float(self.sums[2])

    def add_accuracy(self, y: Array, target: Array) -> None:
        """Add a batch's right predictions, as the loss counts them."""
        right, counted = self.accurate(y, target)
        self._right += right
        self._counted += counted

    def accurate(self, y: Array, target: Array) -> tuple[float, float]:
        """Return how many predictions the loss says are right, and of how many; 0 of 0 where it does not say."""
        accuracy = self._loss.accuracy(y, target)
        if accuracy is None or accuracy != accuracy:
            return 0.0, 0.0
        counted = float(self._loss.positions(target))
        return accuracy * counted, counted

    def record(self) -> dict[str, Any]:
        """Return the epoch's columns."""
        loss, penalty, _ = self.sums.tolist()
        return self._columns(loss, penalty, self._right)

    def _columns(self, loss: float, penalty: float, right: float) -> dict[str, Any]:
        """Return the columns of an epoch with these sums."""
        if self._loss.normalization != "none":
            loss = loss / self._share_sum if self._share_sum else 0.0
        record: dict[str, Any] = {"loss": loss}
        if self._penalized:
            record["penalty"] = penalty / self._rows
        if self._counted:
            record["accuracy"] = right / self._counted
        return record

    def records(self, sums: Array, correct: Array, parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
        """Yield the columns of epochs that captures ran whole, each of the same parts.

        ``sums`` (epochs, 3) has what they added to `sums`, ``correct`` the right predictions. The marks stay:
        they may be those of an epoch that goes on.
        """
        self._forget_sums()
        for steps, rows, counted, share in parts:
            self.add_stretch(steps, rows, 0, counted, share)
        for (loss, penalty, _), right in zip(sums.tolist(), correct.tolist(), strict=True):
            yield self._columns(loss, penalty, right)

    def begin_with(self, sums: Array, correct: int, steps: int, parts: Sequence[Part]) -> None:
        """Go on from the first ``steps`` steps of an epoch, which captures ran: its marks are there already."""
        self._forget_sums()
        self.sums[:] = sums
        self._right += correct
        for most, rows, counted, share in parts:
            now = min(steps, most)
            self.add_stretch(now, rows, 0, counted, share)
            steps -= now

    def dead_units(self) -> tuple[int, ...]:
        """Return for each ReLU layer the number of units that no row of the epoch made positive."""
        # Quicker than NumPy's counting, and than a generator, where units and layers are few.
        return tuple([0 if active is None else active.tobytes().count(0) for active in self._active])

    def active(self) -> list[Array] | None:
        """Return the marks of each ReLU layer, None unless there are some of each: captures write them."""
        marks = [active for active in self._active if active is not None]
        return marks if len(marks) == len(self._active) else None

    def marks(self) -> bytes:
        """Return which units of this epoch were active: what another rank's `add_marks` takes."""
        widths = np.array([0 if active is None else len(active) for active in self._active], dtype=np.int64)
        return widths.tobytes() + b"".join(active.tobytes() for active in self._active if active is not None)

    def add_marks(self, marks: bytes) -> None:
        """Add the units that were active on another rank."""
        start = 8 * len(self._units)
        for place, width in enumerate(np.frombuffer(marks[:start], dtype=np.int64).tolist()):
            if not width:
                continue
            active = self._active[place]
            if active is None or len(active) != width:
                active = self._active[place] = np.zeros(width, dtype=np.uint8)
            active |= np.frombuffer(marks[start : start + width], dtype=np.uint8)
            start += width

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
