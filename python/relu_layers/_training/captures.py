"""The captured steps of one trainer: recorded once for each shape of batch, replayed by the extension.

The extension takes the trainer's own step apart in the same order (see `_steps`), so the results are the same to
the last bit. What it cannot do it leaves alone: then the step runs in the layers, which also know what to say
about a wrong argument or a loss that is not finite.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from relu_layers import _core, schedules
from relu_layers._engine.captures import (
    BACKWARD,
    COLLECT,
    COMBINE,
    FORWARD,
    NORM,
    OBSERVE,
    UPDATE,
    Snapshot,
    can_be_captured,
    recording,
)
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers._training.meter import EpochMeter
from relu_layers.layers import Dropout
from relu_layers.losses import BUILT_IN as LOSSES
from relu_layers.model import Sequential
from relu_layers.optimizers import BUILT_IN as OPTIMIZERS

# Attributes of a trainer that a captured step depends on.
_OF_TRAINER = ("model", "loss", "optimizer", "clip_norm", "accumulate", "l2_penalty", "capture")
# Shapes seen once whose second sight is worth a capture.
_SHAPES_NOTED = 64
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


class Captured(NamedTuple):
    """A capture, and the arrays that its replays leave their traces in.

    ``output`` is what the loss looked at. ``batch`` takes the rows that `fit` gathers: input, target, weights.
    ``counted`` is how many predictions a replay looks at to count the right ones, ``measured`` whether nothing else
    is left to measure.
    """

    capture: _core.Capture
    output: Array
    batch: tuple[Any, ...]
    counted: int
    measured: bool


def nothing(x: object, y: object, sample_weight: object) -> None:
    """Replay nothing: in place of `Replay.step` where a step must run in the layers."""


class Replay:
    """Captures of a trainer's step.

    Attributes
    ----------
    step : callable
        ``step(x, y, sample_weight)`` returns the loss, or None where the layers have to be run.
    meter : EpochMeter
        Collects what an epoch records; captured steps feed it too.
    most_steps : int
        Steps that one stretch may have: learning rates are asked for ahead, those of a user's schedule are not.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self.meter = EpochMeter(trainer.model, trainer.loss, trainer._depth, trainer.l2_penalty > 0.0)
        self._renew()

    def _renew(self) -> None:
        """Start without captures, for the trainer as it is now."""
        trainer = self._trainer
        model, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer
        schedule = optimizer.learning_rate
        self._snapshot = Snapshot([*model.layers, loss, optimizer, *_parts_of(schedule)])
        self._own = {name: getattr(trainer, name) for name in _OF_TRAINER}
        self._possible = (
            trainer.capture
            and type(model) is Sequential
            and type(loss) in _BUILT_IN_LOSSES
            and type(optimizer) in _BUILT_IN_OPTIMIZERS
            and can_be_captured(model.layers[: trainer._depth], model.ops)
        )
        penalized = trainer.l2_penalty > 0.0
        if not self.meter.measures(model, loss, penalized):
            self.meter = EpochMeter(model, loss, trainer._depth, penalized)
        self._seen: set[tuple[Any, ...]] = set()
        self._captured: dict[_core.Capture, Captured] = {}
        self._failed: set[tuple[Any, ...]] = set()
        constant = type(schedule) is schedules.Constant
        self.most_steps = 2**31 if constant else _RATES_AHEAD if type(schedule) in _BUILT_IN_SCHEDULES else 1
        dropouts = [layer for layer in model.layers if isinstance(layer, Dropout)]
        self._replay = _core.TrainingReplay(
            model._guard,
            model.flat_grads,
            trainer._group_sum() if trainer.accumulate > 1 else None,
            trainer._progress,
            optimizer._updates,
            optimizer._last_rate,
            schedule,
            schedule.base if constant else None,
            trainer.clip_norm or 0.0,
            trainer.accumulate,
            [layer._counter for layer in dropouts],
        )
        # A callback between gradient and update wants to be called from there.
        whole = self._possible and not trainer._moments.on_gradients_ready
        self.step = self._replay.step if whole else nothing

    def refresh(self) -> None:
        """Drop the captures if somebody changed what they depend on."""
        if self._replay.current:
            return
        trainer = self._trainer
        if self._snapshot.holds() and all(getattr(trainer, k) is v for k, v in self._own.items()):
            self._replay.renew()
        else:
            self._renew()

    def consider(self, x: Array, y: Array, sample_weight: Array | None) -> None:
        """Capture a step of these shapes if it has been seen before: called after it ran in the layers."""
        self.refresh()
        if not self._possible or not isinstance(y, np.ndarray):
            return
        key = _key(x, y, sample_weight)
        if key in self._seen:
            self.capture(x, y, sample_weight)
            return
        if len(self._seen) >= _SHAPES_NOTED:
            self._seen.clear()
        self._seen.add(key)

    def capture(
        self, x: Array, y: Array, sample_weight: Array | None, record: bool = True
    ) -> Captured | None:
        """Return a capture for batches like these, made now if need be; None if there is and can be none."""
        if not self._possible:
            return None
        found = self._replay.find(x, y, sample_weight)
        if found is not None:
            return self._captured[found]
        key = _key(x, y, sample_weight)
        if not record or key in self._failed:
            return None
        captured = self._record(x, y, sample_weight)
        if captured is None:
            self._failed.add(key)
            return None
        self._replay.add(captured.capture)
        self._captured[captured.capture] = captured
        if len(self._captured) > _CAPTURES:
            self._captured.pop(next(iter(self._captured)))
        return captured

    def stretch(self, *arguments: Any) -> tuple[int, int, float]:
        """Run many steps; return their number, how many predictions were right, and the sum of their penalties.

        The arguments are those of ``TrainingReplay.stretch`` in the extension.
        """
        return self._replay.stretch(*arguments)

    def _record(self, x: Array, y: Array, sample_weight: Array | None) -> Captured | None:
        trainer = self._trainer
        model, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer
        # Memory for the batches of `fit` whose rows are gathered; other batches are read where they are.
        arrays = (x, y, sample_weight)
        batch: tuple[Any, ...] = tuple(a if a is None else empty(a.shape, a.dtype) for a in arrays)
        capture = _core.Capture(batch[0], batch[1], batch[2], None)
        masks = [layer.state() for layer in trainer._dropouts]
        try:
            with recording(capture, FORWARD):
                output = model._run_forward(batch[0], trainer._depth)
                loss.use(model.ops)
                _, dy = loss(output, batch[1], sample_weight=batch[2], out=trainer._buffer(output))
            with recording(capture, BACKWARD):
                model._run_backward(dy, trainer._depth)
                if trainer.l2_penalty:
                    trainer._penalize(len(output), batch[2])
            with recording(capture, OBSERVE):
                self.meter.observe(output, batch[1])
            if trainer.accumulate > 1:
                total = trainer._group_sum()
                with recording(capture, COLLECT):
                    model.ops.accumulate(total, model.flat_grads)
                with recording(capture, COMBINE):
                    model.ops.accumulate(model.flat_grads, total)
            if trainer.clip_norm is not None:
                with recording(capture, NORM):
                    optimizer.gradient_norm()
            # At rate 1 what is recorded as the rate is the factor of each stretch of parameters.
            with recording(capture, UPDATE):
                optimizer._update_at(1.0, 1.0)
        except (TypeError, ValueError, IndexError):
            return None
        finally:
            for layer, state in zip(trainer._dropouts, masks, strict=True):
                layer.load_state(state)
            self._replay.renew()
        if capture.failure is not None:
            return None
        meter = self.meter
        return Captured(
            capture, output, batch, y.size if meter.counts(output, y) else 0, meter.measures_all(output, y)
        )


def _key(x: Array, y: Array, sample_weight: Array | None) -> tuple[Any, ...]:
    return x.shape, y.shape, y.dtype, sample_weight is None


def _parts_of(schedule: Any) -> list[Any]:
    """Return a schedule and those that it is made of."""
    inner = getattr(schedule, "schedule", None)
    return [schedule] if inner is None else [schedule, *_parts_of(inner)]
