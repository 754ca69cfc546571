"""The loop over the minibatches of an epoch: one by one in the layers, or in stretches of captured steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.captures import Captured, StepCaptures
from relu_layers._training.interrupts import Interrupts
from relu_layers._training.meter import StepResult
from relu_layers.callbacks import Moments
from relu_layers.data import Ordered

# Steps of one `fit` from which on they are captured: that costs some ten steps of a small network.
STEPS_WORTH_A_CAPTURE = 16
# Seconds after which a stretch of captured steps lets Python look for a signal.
_LONGEST_STRETCH = 0.05


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
        self._known: dict[int, Captured] = {}
        self._replay = captures.replay
        self._record = epochs * self._total >= STEPS_WORTH_A_CAPTURE

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Run one epoch and return the columns that its batches gave."""
        batches, trainer, captures = self._batches, self._trainer, self._captures
        for begin in self._moments.on_epoch_begin:
            begin(trainer, epoch)
        captures.meter.begin()
        order = batches.draw()
        number = 0
        while number < self._total:
            done, value = self._stretch(order, number)
            if not done:
                done, value = 1, self._step(order, number, epoch)
            number += done
            for end in self._moments.on_step_end:
                end(trainer, trainer.steps, value)
        return captures.meter.record()

    def _step(self, order: Array | None, number: int, epoch: int) -> float:
        """Run one minibatch in the layers."""
        batch = self._batches.batch(number, order)
        self._interrupts.hold()
        try:
            close = number + 1 == self._total
            result = self._run_step(*batch, close=close, place=(epoch, number + 1))
            self._captures.meter.add(result, *batch[1:])
        finally:
            self._interrupts.release()
        return result.value

    def _stretch(self, order: Array | None, number: int) -> tuple[int, float]:
        """Replay minibatches from ``number`` on; return how many, 0 if the next must run in the layers."""
        batches, moments, captures = self._batches, self._moments, self._captures
        captures.refresh()
        if moments.on_gradients_ready:
            return 0, 0.0
        rows = min(batches.batch_size, batches.rows - number * batches.batch_size)
        (x, y, *rest), local, start = batches.window(number, order)
        weight = rest[0] if rest else None
        batch = slice(start, start + rows)
        captured = self._captured(x, y, weight, batch, rows)
        if captured is None:
            return 0, 0.0
        seconds = min(_LONGEST_STRETCH, moments.seconds_between_steps)
        steps = 1
        if seconds > 0.0 and captured.measured and rows == batches.batch_size:
            steps = min((len(x) - start) // rows, captures.most_steps)
        meter = captures.meter
        share = meter.share_of_rows(rows, weight is not None)
        losses = np.empty(steps) if share is None else None
        last = number + steps == self._total
        self._interrupts.hold()
        try:
            done, correct = captures.stretch(
                *(captured.capture, x, y, weight, local, start, rows, steps, seconds, last),
                *(share or 0.0, meter.sums, losses),
            )
            if done:
                meter.add_stretch(
                    *(done, rows, correct, captured.counted, share, losses),
                    lambda i: batches.batch(number + i, order)[1:],
                )
                if not captured.measured:
                    meter.add_accuracy(captured.outputs, y[batch] if local is None else captured.batch[1])
            else:
                self._known.clear()
        finally:
            self._interrupts.release()
        return done, float(meter.sums[2]) if done else 0.0

    def _captured(self, x: Array, y: Array, weight: Array | None, batch: slice, rows: int) -> Captured | None:
        """Return the capture for minibatches like ``batch`` of these arrays, which are alike in the whole fit."""
        captures = self._captures
        if self._replay is not captures.replay:
            self._replay = captures.replay
            self._known.clear()
        found = self._known.get(rows)
        if found is None:
            found = captures.capture_rows(x, y, weight, batch, self._record)
            if found is not None:
                self._known[rows] = found
        return found
