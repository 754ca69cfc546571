"""The loop over the minibatches of an epoch: one by one in the layers, or in stretches of captured steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.captures import Captured, StepCaptures
from relu_layers._training.interrupts import Interrupts
from relu_layers._training.meter import StepResult
from relu_layers.callbacks import Moments
from relu_layers.data import Ordered

# Seconds after which a stretch of captured steps lets Python look for a signal.
_LONGEST_STRETCH = 0.05
# The capture of a minibatch, and what the mean of its loss divides by, None where its targets decide on that.
_Known: TypeAlias = tuple[Captured, float | None]


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
    ) -> None:
        self._trainer, self._batches, self._moments = trainer, batches, moments
        self._captures, self._interrupts, self._run_step = captures, interrupts, run_step
        self._total = batches.count
        # By the rows of a batch, for as long as the captures have the same replay.
        self._known: dict[int, _Known] = {}
        self._replay = captures.replay
        self._record = captures.worth_it(epochs * self._total)
        self._seconds = min(_LONGEST_STRETCH, moments.seconds_between_steps)

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Run one epoch and return the columns that its batches gave."""
        batches, trainer, captures = self._batches, self._trainer, self._captures
        for begin in self._moments.on_epoch_begin:
            begin(trainer, epoch)
        captures.meter.begin()
        order = batches.draw()
        ends = self._moments.on_step_end
        number = 0
        while number < self._total:
            done = self._stretch(order, number)
            value = captures.meter.last_loss if done and ends else 0.0
            if not done:
                done, value = 1, self._step(order, number, epoch)
            number += done
            for end in ends:
                end(trainer, trainer.steps, value)
        return captures.meter.record()

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
