"""The loop over minibatches: one by one in the layers, in stretches of captured steps, or in whole short epochs."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.captures import Captured, StepCaptures
from relu_layers._training.interrupts import Interrupts
from relu_layers._training.meter import Record, StepResult
from relu_layers.callbacks import Moments
from relu_layers.data import Minibatches, Ordered

# Seconds after which a stretch of captured steps lets Python look for a signal.
_LONGEST_STRETCH = 0.05
# Seconds of an epoch below which several are run in one call, and of such a call; the numbers in their orders.
_SHORT_EPOCH, _SHORT_CALL, _ORDERS_AHEAD = 0.001, 0.004, 2**16
# The capture of a minibatch, and what the mean of its loss divides by, None where its targets decide on that.
_Known: TypeAlias = tuple[Captured, float | None]
# The same, with the first of its rows, the rows of a minibatch and how many of them follow each other.
_Part: TypeAlias = tuple[Captured, int, int, int, float]


class Loop:
    """The minibatches of one `Trainer.fit`.

    Parameters
    ----------
    trainer : Trainer
        What callbacks get.
    batches : Ordered
    moments : Moments
        All callbacks of this fit.
    captures : StepCaptures
        Their meter collects what an epoch records.
    interrupts : Interrupts
        Installed; a step is never cut in two.
    run_step : callable
        ``run_step(*batch, close=..., place=(epoch, batch))`` runs one step in the layers.
    epochs : int
        How many there will be.
    alone : bool
        Whether nothing has to be done between two epochs but what callbacks do.
    """

    def __init__(
        self,
        trainer: Any,
        batches: Ordered,
        moments: Moments,
        captures: StepCaptures,
        interrupts: Interrupts,
        run_step: Callable[..., StepResult],
        *,
        epochs: int,
        alone: bool,
    ) -> None:
        self._trainer, self._batches, self._moments = trainer, batches, moments
        self._captures, self._interrupts, self._run_step = captures, interrupts, run_step
        self._total = batches.count
        # By the rows of a batch, for as long as the captures have the same replay.
        self._known: dict[int, _Known] = {}
        self._replay = captures.replay
        self._record = captures.worth_it(epochs * self._total)
        self._seconds = min(_LONGEST_STRETCH, moments.seconds_between_steps)
        watched = moments.on_epoch_begin or moments.on_epoch_end or moments.on_step_end
        plain = isinstance(batches, Minibatches) and not callable(batches.shuffle)
        # How many epochs to run in one call; 0 where something is to be done between them.
        self._together = 4 if alone and plain and not watched and not moments.on_gradients_ready else 0
        self._epoch_seconds = float("inf")

    def epochs(self, first: int, most: int, record: Record) -> int:
        """Run epoch ``first`` and perhaps some after it, ``most`` in all; return how many.

        ``record(columns, dead_units)`` is called for each, in order: by itself an epoch ends with that.
        """
        done = 0
        if most > 1 and self._together and self._epoch_seconds < _SHORT_EPOCH:
            done = self._several(first, most, record)
        if not done:
            done, began = 1, perf_counter()
            columns = self._epoch(first)
            self._epoch_seconds = perf_counter() - began
            record(columns, self._captures.meter.dead_units())
        return done

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Run one epoch and return the columns that its batches gave."""
        for begin in self._moments.on_epoch_begin:
            begin(self._trainer, epoch)
        self._captures.meter.begin()
        return self._from(0, self._batches.draw(), epoch)

    def _from(self, number: int, order: Array | None, epoch: int) -> dict[str, Any]:
        """Run an epoch from minibatch ``number`` on."""
        trainer, captures = self._trainer, self._captures
        ends = self._moments.on_step_end
        while number < self._total:
            done = self._stretch(order, number)
            value = captures.meter.last_loss if done and ends else 0.0
            if not done:
                done, value = 1, self._step(order, number, epoch)
            number += done
            for end in ends:
                end(trainer, trainer.steps, value)
        return captures.meter.record()

    def _several(self, first: int, most: int, record: Record) -> int:
        """Run several epochs in one call; return 0 where the next has to be run by itself."""
        parts, captures, batches = self._parts(), self._captures, self._batches
        meter = captures.meter
        active = meter.active()
        count = min(most, self._together, _ORDERS_AHEAD // batches.rows)
        if parts is None or active is None or count < 2:
            return 0
        arrays = batches.window(0, None)[0]
        weight = arrays[2] if len(arrays) > 2 else None
        orders, keep = batches.draw_ahead(count)
        sums, correct = np.zeros((count, 3)), np.zeros(count, dtype=np.intp)
        dead = np.empty((count, len(active)), dtype=np.intp)
        given = [(known.capture, start, rows, steps, share) for known, start, rows, steps, share in parts]
        measured = [(steps, rows, known.counted, share) for known, _, rows, steps, share in parts]
        self._interrupts.hold()
        try:
            began = perf_counter()
            done, steps = captures.replay.epochs(
                given, arrays[0], arrays[1], weight, orders, self._seconds, active, sums, correct, dead
            )
            if done < count:
                keep(done + (steps > 0))
                if not done and not steps:  # a schedule, say: the next would draw in vain too
                    self._together = 0
            elif perf_counter() - began < _SHORT_CALL / 2:
                self._together *= 2
            elif perf_counter() - began > _SHORT_CALL:
                self._together = max(2, self._together // 2)
            columns = meter.records(sums[:done], correct[:done], measured)
            for row, units in zip(columns, dead[:done].tolist(), strict=True):
                record(row, tuple(units))
        finally:
            self._interrupts.release()
        if steps:
            order = None if orders is None else orders[done]
            meter.begin_with(sums[done], int(correct[done]), steps, measured)
            record(self._from(steps, order, first + done), meter.dead_units())
            done += 1
        return int(done)

    def _parts(self) -> list[_Part] | None:
        """Return the stretches of a whole epoch; None unless all of them are captured and measure all there is."""
        if not self._captures.replay.current or self._replay is not self._captures.replay:
            return None
        size, rows = self._batches.batch_size, self._batches.rows
        parts: list[_Part] = []
        for start, height in ((0, size), (rows // size * size, rows % size)):
            steps = (rows - start) // height if height else 0
            if not steps:
                continue
            captured, share = self._known.get(height, (None, None))
            if captured is None or share is None or not captured.measured:
                return None
            parts.append((captured, start, height, steps, share))
        return parts

    def _step(self, order: Array | None, number: int, epoch: int) -> float:
        """Run one minibatch in the layers."""
        batch = self._batches.batch(number, order)
        self._captures.steps_in_layers += 1
        self._interrupts.hold()
        try:
            close = number + 1 == self._total
            result = self._run_step(*batch, close=close, place=(epoch, number + 1))
            self._captures.meter.add(result, *batch[1:])
        finally:
            self._interrupts.release()
        return result.value

    def _stretch(self, order: Array | None, number: int) -> int:
        """Replay minibatches from ``number`` on; return how many, 0 if the next must run in the layers."""
        batches, captures = self._batches, self._captures
        if not captures.replay.current:
            captures.refresh()
        if self._moments.on_gradients_ready:
            return 0
        size = batches.batch_size
        left = batches.rows - number * size
        rows = left if left < size else size
        arrays, local, start = batches.window(number, order)
        x, y = arrays[0], arrays[1]
        weight = arrays[2] if len(arrays) > 2 else None
        if self._replay is not captures.replay:
            self._replay = captures.replay
            self._known.clear()
        known = self._known.get(rows)
        if known is None:
            known = self._look_up(x, y, weight, slice(start, start + rows), rows)
            if known is None:
                return 0
        captured, share = known
        steps = 1
        if self._seconds > 0.0 and captured.measured and rows == size:
            steps, most = (len(x) - start) // rows, captures.most_steps
            if steps > most:
                steps = most
        meter = captures.meter
        losses = np.empty(steps) if share is None else None
        last = number + steps == self._total
        self._interrupts.hold()
        try:
            done, correct = captures.stretch(
                captured.capture,
                x,
                y,
                weight,
                local,
                start,
                rows,
                steps,
                self._seconds,
                last,
                0.0 if share is None else share,
                meter.sums,
                losses,
            )
            if not done:
                self._known.clear()
                return 0
            meter.add_stretch(done, rows, correct, captured.counted, share)
            if losses is not None:
                values = losses[:done].tolist()
                meter.add_losses(values, rows, lambda i: batches.batch(number + i, order)[1:])
            if not captured.measured:
                batch = slice(start, start + rows)
                meter.add_accuracy(captured.outputs, y[batch] if local is None else captured.batch[1])
        finally:
            self._interrupts.release()
        return int(done)

    def _look_up(self, x: Array, y: Array, weight: Array | None, batch: slice, rows: int) -> _Known | None:
        """Return what all minibatches like ``batch`` of these arrays need, which are alike in the whole fit."""
        captured = self._captures.capture_rows(x, y, weight, batch, self._record)
        if captured is None:
            return None
        known = captured, self._captures.meter.share_of_rows(rows, weight is not None)
        self._known[rows] = known
        return known
