"""The captured steps of one trainer: recorded once for each shape of batch, replayed by the extension.

The extension takes the trainer's own step apart in the same order, so the results are the same to the last bit. What
it cannot do it leaves alone: then the step runs in the layers, whose errors say what is wrong with an argument or
where a loss stopped being finite.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from relu_layers import _core, schedules
from relu_layers._engine.captures import Snapshot, can_be_captured, watched
from relu_layers._engine.loop_captures import LoopCaptures
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers._support.phases import BACKWARD, COLLECT, COMBINE, FORWARD, NORM, OBSERVE, UPDATE
from relu_layers._support.targets import Target
from relu_layers._training.meter import EpochMeter
from relu_layers.callbacks import Moments
from relu_layers.layers import Dropout
from relu_layers.losses import BUILT_IN as LOSSES
from relu_layers.losses import as_loss
from relu_layers.optimizers import BUILT_IN as OPTIMIZERS

# Attributes of a trainer that a captured step depends on.
_OF_TRAINER = ("model", "loss", "optimizer", "accumulate", "l2_penalty", "capture")
# Shapes seen once whose second sight is worth a capture.
_SHAPES_NOTED = 64
# Steps of `fit` from which on they are captured: that costs some ten steps of a small network.
_STEPS_WORTH_A_CAPTURE = 16
# Captures of a trainer: as many as the extension keeps.
_CAPTURES = 8
# Steps of a stretch whose learning rates are worked out ahead.
_RATES_AHEAD = 1024

_BUILT_IN_LOSSES = frozenset(LOSSES.values())
_BUILT_IN_OPTIMIZERS = frozenset(OPTIMIZERS.values())
_BUILT_IN_SCHEDULES = frozenset(
    value
    for value in vars(schedules).values()
    if isinstance(value, type) and issubclass(value, schedules.Schedule)
)


class Captured:
    """A capture, and the arrays that its replays leave their traces in.

    ``outputs`` is what the loss looked at. ``batch`` takes the rows that `fit` gathers: input, target, weights.
    ``counted`` is how many predictions a replay looks at to count the right ones, ``measured`` whether nothing else
    is left to measure.
    """

    def __init__(
        self, capture: _core.Capture, outputs: Array, batch: tuple[Any, ...], counted: int, measured: bool
    ) -> None:
        self.capture, self.outputs, self.batch = capture, outputs, batch
        self.counted, self.measured = counted, measured


class StepParts:
    """What a captured step shares with the trainer beside the trainer's public attributes.

    Attributes
    ----------
    passes : Passes
        Of the model.
    depth : int
        Layers before the loss.
    progress : ndarray, int64 (2,)
        Minibatches so far, and those in the group of accumulated ones: captured steps count them too.
    group_sum : callable
        ``group_sum()`` returns the array for the sum of a group's gradients.
    penalize : callable
        ``penalize(rows, sample_weight)`` adds the penalty's gradient.
    outputs : callable
        ``outputs(x)`` returns what the loss looks at.
    """

    def __init__(
        self,
        passes: Any,
        depth: int,
        progress: Array,
        group_sum: Callable[[], Array],
        penalize: Callable[[int, Array | None], float],
        outputs: Callable[[Array], Array],
    ) -> None:
        self.passes, self.depth, self.progress = passes, depth, progress
        self.group_sum, self.penalize, self.outputs = group_sum, penalize, outputs


class _RecordingRefusedError(Exception):
    """Another thread is recording."""


def _not_captured(x: object, y: object, sample_weight: object) -> None:
    """Replay nothing: the `StepCaptures.step` of a trainer whose steps must run in the layers."""


class StepCaptures:
    """Captures of a trainer's step.

    Attributes
    ----------
    step : callable
        ``step(x, y, sample_weight)`` returns the loss, or None where the layers have to be run.
    stretch : callable
        Runs many steps: ``TrainingReplay.stretch`` of the extension.
    gradient, update : callable
        Run the halves of a step, between which ranks add their gradients: those of ``TrainingReplay`` too.
    meter : EpochMeter
        Collects what an epoch records; captured steps feed it too.
    steps_in_layers : int
        Minibatches of all fits that ran in the layers, since there are these captures.
    replay : TrainingReplay
        What holds the captures: another one where none is left of them.
    """

    def __init__(self, trainer: Any, parts: StepParts, moments: Moments) -> None:
        self._trainer, self._parts, self._moments = trainer, parts, moments
        self._measured: tuple[Any, ...] = ()
        self._forget()

    def watch(self, moments: Moments) -> None:
        """Note the callbacks of the steps to come: one between gradient and update has to be called from there."""
        self._moments = moments
        alone = self._trainer._ranks == 1
        whole = self._possible and alone and not moments.on_gradients_ready
        self.step = self.replay.step if whole else _not_captured
        # A captured step that nothing else has to follow needs no Python at all.
        _core.set_shortcut(self._trainer, self.step if whole and not moments.on_step_end else None)

    def _forget(self) -> None:
        """Start without captures, for the trainer as it is now."""
        trainer, parts = self._trainer, self._parts
        model, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer
        parts_watched = [*model.layers, loss, optimizer]
        self._snapshot = Snapshot(parts_watched)
        self._own = {name: getattr(trainer, name) for name in _OF_TRAINER}
        known = trainer.capture and can_be_captured(model.layers[: parts.depth], model.ops)
        self._possible = known and type(loss) in _BUILT_IN_LOSSES and type(optimizer) in _BUILT_IN_OPTIMIZERS
        # What a step's forward and backward are replayed by where Python has to be called in between.
        self._halves: LoopCaptures | None = (
            model._loop if known and parts.depth == len(model.layers) else None
        )
        measured = model, loss, trainer.l2_penalty > 0.0
        if not _same_objects(measured, self._measured):
            self._measured = measured
            self.meter = EpochMeter(model, as_loss(loss, model.ops), parts.depth, measured[2])
        self._seen: set[tuple[Any, ...]] = set()
        self.steps_in_layers = 0
        self._captured: dict[_core.Capture, Captured] = {}
        self._failed: set[tuple[Any, ...]] = set()
        # A row that the model took, and its outputs.
        self._row: tuple[Array, Array] | None = None
        self._dropouts = [layer for layer in model.layers if isinstance(layer, Dropout)]
        updates, last_rate = optimizer.shared_progress
        self.replay = _core.TrainingReplay(
            model.exclusive(),
            model.flat_grads,
            parts.group_sum() if trainer.accumulate > 1 else None,
            parts.progress,
            updates,
            last_rate,
            optimizer,
            schedules.Constant,
            trainer._limit,
            trainer.accumulate,
            [layer.shared_counter for layer in self._dropouts],
            watched([trainer, *parts_watched]),
        )
        self.stretch = self.replay.stretch
        self.gradient, self.update = self.replay.gradient, self.replay.update
        self.watch(self._moments)

    @property
    def halves(self) -> LoopCaptures | None:
        """The captures of forward and backward, for a step that is not captured whole and leaves no layer out."""
        whole = self._possible and not self._moments.on_gradients_ready
        trainer = self._trainer
        if whole or trainer._ranks > 1 or self._halves is None or trainer.optimizer.frozen(trainer.model):
            return None
        return self._halves

    def worth_it(self, steps: int) -> bool:
        """Return whether a fit of so many steps is worth captures: it is long, or comes after many short ones."""
        return self.steps_in_layers + steps >= _STEPS_WORTH_A_CAPTURE

    @property
    def most_steps(self) -> int:
        """Steps that one stretch may have: learning rates are asked for ahead, those of a user's schedule are not."""
        kind = self._trainer.optimizer.schedule_type
        return 2**31 if kind is schedules.Constant else _RATES_AHEAD if kind in _BUILT_IN_SCHEDULES else 1

    def outputs_like(self, row: Array) -> Array:
        """Return outputs of the shape that this row's have: former ones where the layers are as they were then."""
        former = self._row
        if former is not None and former[0].shape == row.shape and self.replay.current:
            return former[1]
        outputs = self._parts.outputs(row)
        if self._possible:
            self._row = row, outputs
        return outputs

    def refresh(self) -> None:
        """Drop the captures if what they depend on has changed."""
        if self.replay.current:
            return
        trainer = self._trainer
        if self._snapshot.holds() and all(getattr(trainer, k) is v for k, v in self._own.items()):
            self.replay.renew()
        else:
            self._forget()

    def consider(self, x: Array, y: Target, sample_weight: Array | None) -> None:
        """Capture a step of these shapes if it has been seen before: called after it ran in the layers."""
        self.refresh()
        halves = self.halves
        if halves is not None:
            with suppress(MemoryError):
                halves.consider(x)
            return
        if self._seen_before(x, y, sample_weight):
            # The step is done: without memory for a capture the next one runs in the layers, too.
            with suppress(MemoryError):
                self.capture(x, y, sample_weight)

    def _seen_before(self, x: Array, y: Target, sample_weight: Array | None) -> bool:
        """Return whether these shapes, of which a capture is possible, have been here before; note them."""
        if not self._possible or not all(isinstance(each, np.ndarray) for each in _arrays(y)):
            return False
        key = _key(x, y, sample_weight)
        if key in self._seen:
            return True
        if len(self._seen) >= _SHAPES_NOTED:
            self._seen.clear()
        self._seen.add(key)
        return False

    def capture_again(self, x: Array, y: Target, sample_weight: Array | None) -> Captured | None:
        """Return `capture` for a step whose gradient alone is replayed: made when these shapes come a second time."""
        found = self.replay.find(x, y, sample_weight)
        if found is not None:
            return self._captured[found]
        if not self._seen_before(x, y, sample_weight):
            return None
        with suppress(MemoryError):
            return self.capture(x, y, sample_weight)
        return None

    def capture(
        self, x: Array, y: Target, sample_weight: Array | None, record: bool = True
    ) -> Captured | None:
        """Return a capture for batches like these, made now if need be; None if there is and can be none."""
        if not self._possible:
            return None
        found = self.replay.find(x, y, sample_weight)
        if found is not None:
            return self._captured[found]
        key = _key(x, y, sample_weight)
        if not record or key in self._failed:
            return None
        try:
            captured = self._record(x, y, sample_weight)
        except _RecordingRefusedError:  # only now: the next batch of this shape may be recorded
            return None
        if captured is None:
            self._failed.add(key)
            return None
        self.replay.add(captured.capture)
        self._captured[captured.capture] = captured
        if len(self._captured) > _CAPTURES:
            self._captured.pop(next(iter(self._captured)))
        return captured

    def capture_rows(
        self, x: Array, y: Array, sample_weight: Array | None, rows: slice, record: bool
    ) -> Captured | None:
        """Return `capture` for a minibatch that is part of larger arrays."""
        weight = None if sample_weight is None else sample_weight[rows]
        return self.capture(x[rows], y[rows], weight, record)

    def _record(self, x: Array, y: Target, sample_weight: Array | None) -> Captured | None:
        """Run the trainer's step with the extension recording; None where something cannot be recorded."""
        trainer, parts = self._trainer, self._parts
        model, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer
        # Memory for the batches of `fit` whose rows are gathered; other batches are read where they are.
        batch: tuple[Any, ...] = (
            empty(x.shape, x.dtype),
            _like(y),
            sample_weight if sample_weight is None else empty(sample_weight.shape, sample_weight.dtype),
        )
        # A loss of the package looks at its targets before it calls an op.
        for memory, given in zip(_arrays(batch[1]), _arrays(y), strict=True):
            np.copyto(memory, given)
        capture = _core.Capture(batch[0], batch[1], batch[2], None)
        masks = [layer.state_dict() for layer in self._dropouts]
        try:
            capture.start(FORWARD)
            # Where another thread is recording, what follows would be done, not recorded.
            refused = capture.failure
            if refused is not None:
                raise _RecordingRefusedError
            _, outputs, _ = parts.passes.loss_and_gradients(
                as_loss(loss, model.ops),
                *batch,
                depth=parts.depth,
                frozen=parts.passes.frozen(optimizer.frozen(model)),
                before_backward=lambda value, outputs: capture.start(BACKWARD),
            )
            if trainer.l2_penalty:
                parts.penalize(len(outputs), batch[2])
            capture.start(OBSERVE)
            counted, measured = self.meter.observe(outputs, batch[1])
            if trainer.accumulate > 1:
                total = parts.group_sum()
                capture.start(COLLECT)
                model.ops.accumulate(total, model.flat_grads)
                capture.start(COMBINE)
                model.ops.accumulate(model.flat_grads, total)
            capture.start(NORM)  # run where there is a limit at that time
            optimizer.gradient_norm()
            capture.start(UPDATE)
            # At rate 1 what is recorded as the rate is the factor of each stretch of parameters.
            optimizer._apply(optimizer._segments, 1.0, 1.0)
        except (TypeError, ValueError, IndexError):
            return None
        finally:
            capture.stop()
            for layer, state in zip(self._dropouts, masks, strict=True):
                layer.load_state_dict(state)
            self.replay.renew()
        if capture.failure is not None:
            return None
        return Captured(capture, outputs, batch, counted, measured)


def _key(x: Array, y: Target, sample_weight: Array | None) -> tuple[Any, ...]:
    return x.shape, tuple((each.shape, each.dtype) for each in _arrays(y)), sample_weight is None


def _arrays(y: Target) -> tuple[Array, ...]:
    """Return the arrays that targets are made of."""
    return y if isinstance(y, tuple) else (y,)


def _like(y: Target) -> Target:
    """Return memory for targets of the same kind."""
    if isinstance(y, tuple):
        return empty(y[0].shape, y[0].dtype), empty(y[1].shape, y[1].dtype)
    return empty(y.shape, y.dtype)


def _same_objects(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))
