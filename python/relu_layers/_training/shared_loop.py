"""The loop over the minibatches of an epoch that several ranks share."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.agreement import agree
from relu_layers._training.captures import Captured, StepCaptures
from relu_layers._training.meter import BatchMeasure, Record
from relu_layers._training.ranks import Place, Ranks
from relu_layers._training.shared_steps import SharedSteps
from relu_layers.callbacks import Moments
from relu_layers.data import Ordered, StreamedMinibatches


class SharedLoop:
    """The minibatches of one `Trainer.fit` on several ranks: `Loop` for a group that is dealt out.

    Parameters
    ----------
    trainer : Trainer
        What callbacks get.
    batches : Ordered
        The same on all ranks.
    moments : Moments
        The callbacks of this fit that run on this rank.
    captures : StepCaptures
        Their meter collects what an epoch records.
    ranks : Ranks
        Entered.
    steps : SharedSteps
    compute, update : callable
        ``compute(batch, place=(epoch, batch))`` fills the gradients from one minibatch, ``update(count, place)``
        updates from the sum over ``count`` minibatches: in the layers, where there is no capture.
    progress : ndarray, int64 (2,)
        Minibatches so far, and those in the group that is not complete yet.
    group : int
        Minibatches of an update.
    epochs : int
        Of this fit: few steps are not worth a capture.
    """

    def __init__(
        self,
        trainer: Any,
        batches: Ordered,
        moments: Moments,
        captures: StepCaptures,
        ranks: Ranks,
        steps: SharedSteps,
        compute: Callable[..., BatchMeasure],
        update: Callable[[int, tuple[int, int]], None],
        *,
        progress: Array,
        group: int,
        epochs: int,
    ) -> None:
        self._trainer, self._batches, self._moments = trainer, batches, moments
        self._captures, self._ranks, self._steps = captures, ranks, steps
        self._compute, self._update = compute, update
        self._progress, self._group = progress, group
        self._record = captures.worth_it(epochs * len(batches))
        self._last: Captured | None = None

    def epochs(self, first: int, most: int, record: Record) -> int:
        """Run one epoch, as `Loop.epochs` does where they are longer."""
        record(self._epoch(first), self._captures.meter.dead_units())
        return 1

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Run one epoch and return the columns that the batches of all ranks gave."""
        batches, ranks, meter = self._batches, self._ranks, self._captures.meter
        for begin in self._moments.on_epoch_begin:
            begin(self._trainer, epoch)
        # Before any rank draws: an error leaves the generators of all where they were.
        ranks.meet(Place.EPOCH)
        meter.begin()
        order = batches.draw()
        if order is not None and callable(batches.shuffle):
            agree(ranks, [(f"the order of epoch {epoch}", f"checksum {zlib.crc32(order.tobytes()):08x}")])
        if isinstance(batches, StreamedMinibatches):
            batches.ask_for(self._own_minibatches())
        number, total = 0, len(batches)
        while number < total:
            number += self._take_group(order, number, epoch)
            ranks.end_if_asked()
        ranks.meet(Place.EPOCH)
        for marks in ranks.gather_bytes(meter.marks()):
            meter.add_marks(marks)
        return meter.record()

    def _take_group(self, order: Array | None, number: int, epoch: int) -> int:
        """Complete a group from minibatch ``number`` on; return how many minibatches that took."""
        batches, trainer = self._batches, self._trainer
        count = min(self._group - int(self._progress[1]), len(batches) - number)
        before = trainer.steps
        last = (epoch, number + count)
        results = self._steps.run(
            count,
            lambda i: self._gradient(order, number + i, epoch),
            lambda summed: self._replay_update(summed) or self._update(summed, last),
            [partial(watch, trainer) for watch in self._moments.on_gradients_ready],
        )
        for result in results:
            self._captures.meter.take(result)
        for step, result in enumerate(results, before + 1):
            for end in self._moments.on_step_end:
                end(trainer, step, result.loss)
        return count

    def _gradient(self, order: Array | None, number: int, epoch: int) -> BatchMeasure:
        """Fill the gradients from one minibatch: replayed, or in the layers."""
        batches, captures = self._batches, self._captures
        captures.refresh()
        rows = min(batches.batch_size, batches.rows - number * batches.batch_size)
        (x, y, *rest), local, start = batches.window(number, order)
        weight = rest[0] if rest else None
        batch = slice(start, start + rows)
        captured = self._last = captures.capture_rows(x, y, weight, batch, self._record)
        found = None
        if captured is not None:
            found = captures.gradient(captured.capture, x, y, weight, local, start, rows)
        if captured is None or found is None:
            captures.steps_in_layers += 1
            return self._compute(batches.batch(number, order), place=(epoch, number + 1))
        loss, right, penalty = found
        target, weight = (
            captured.batch[1:]
            if local is not None
            else (y[batch], weight if weight is None else weight[batch])
        )
        measures = (float(right), float(captured.counted))
        if not captured.measured:
            measures = captures.meter.accurate(captured.outputs, target)
        return captures.meter.measure_captured(loss, penalty, *measures, rows, target, weight)

    def _replay_update(self, count: int) -> bool:
        """Update by a replay if that is possible: any capture of this trainer ends with the same update."""
        captures, captured = self._captures, self._last
        captures.refresh()
        return captured is not None and captures.update(captured.capture, count)

    def _own_minibatches(self) -> Array:
        """Return which minibatches of an epoch this rank computes: each rank's in turn, from every update on."""
        rank, size, total = self._ranks.rank, self._ranks.size, len(self._batches)
        first = min(self._group - int(self._progress[1]), total)
        return np.concatenate([np.arange(rank, first, size), np.arange(first + rank, total, size)])
