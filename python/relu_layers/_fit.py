"""The loop of `Trainer.fit`: epochs, minibatches, what is recorded, who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from relu_layers._configured import Array
from relu_layers._epoch import has_accuracy
from relu_layers._inputs import any_array, converted_array
from relu_layers._progress import TextProgress
from relu_layers.callbacks import Moments
from relu_layers.data import Minibatches
from relu_layers.history import History
from relu_layers.losses import Loss, SoftmaxCrossEntropy

# Steps of one `fit` from which on they are captured.
_STEPS_WORTH_A_CAPTURE = 16
# Seconds after which a stretch of captured steps lets Python look for a signal.
_LONGEST_STRETCH = 0.05


class Examples(NamedTuple):
    """Inputs, targets and perhaps one weight per row, in the dtypes that training takes."""

    x: Array
    y: Array
    sample_weight: Array | None

    def arrays(self) -> tuple[Array, ...]:
        """Return the arrays there are."""
        return (self.x, self.y) if self.sample_weight is None else (self.x, self.y, self.sample_weight)


def examples(owner: str, trainer: Any, x: Any, y: Any, sample_weight: Any = None) -> Examples:
    """Return the arrays converted once where their dtype differs, their lengths checked."""
    dtype, loss = trainer.model.dtype, trainer.loss
    x = converted_array(owner, "x", x, dtype)
    if not hasattr(y, "to_numpy"):
        y = any_array(owner, "y", y)
    keeps_integers = isinstance(loss, SoftmaxCrossEntropy) or not isinstance(loss, Loss)
    if not (keeps_integers and isinstance(y, np.ndarray) and y.dtype.kind in "iub"):
        y = converted_array(owner, "y", y, dtype)
    elif not y.dtype.isnative:
        y = y.astype(y.dtype.newbyteorder("="))
    if sample_weight is not None:
        sample_weight = converted_array(owner, "sample_weight", sample_weight, dtype)
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(f"{owner}: x has shape {x.shape} and y {y.shape}, expected a first axis of rows")
    if len(x) == 0:
        raise ValueError(f"{owner}: x has no rows")
    if len(y) != len(x):
        raise ValueError(f"{owner}: x has {len(x)} rows but y has {len(y)}")
    if sample_weight is not None and sample_weight.shape != (len(x),):
        raise ValueError(f"{owner}: sample_weight has shape {sample_weight.shape}, expected ({len(x)},)")
    return Examples(x, y, sample_weight)


def check_before_training(owner: str, trainer: Any, given: Examples) -> None:
    """Raise now what the package's losses would find wrong later: shapes, dtypes, any label."""
    loss = trainer.loss
    if not isinstance(loss, Loss):
        return
    loss.use(trainer.model.ops)
    y = trainer._outputs(given.x[:1])
    if isinstance(loss, SoftmaxCrossEntropy) and given.y.dtype.kind in "iu" and given.y.ndim < y.ndim:
        classes = y.shape[loss.axis]
        bad = (given.y < 0) | (given.y >= classes)
        if loss.ignore_label is not None:
            bad &= given.y != loss.ignore_label
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            place = ", ".join(map(str, at))
            raise IndexError(f"{owner}: y[{place}] is {given.y[at]}, expected a label in 0 .. {classes - 1}")
    weight = None if given.sample_weight is None else given.sample_weight[:1]
    loss(y, given.y[:1], sample_weight=weight)


def run(
    trainer: Any,
    given: Examples,
    *,
    epochs: int,
    batch_size: int,
    validation: Examples | None,
    shuffle: bool | Callable[[int], Any],
    progress: Any,
    callbacks: Sequence[Any],
) -> History:
    """Train; the arguments are checked already, and the model is this thread's alone."""
    history: History = trainer.history
    batches = Minibatches(*given.arrays(), batch_size=batch_size, shuffle=shuffle, rng=trainer.rng)
    line = TextProgress(epochs, len(batches)) if progress is True else None
    watchers = [line] if line is not None else [progress] if progress else []
    moments = Moments([*trainer.callbacks, *callbacks, *watchers])
    # Capturing costs some ten steps of a small network.
    record = epochs * len(batches) >= _STEPS_WORTH_A_CAPTURE
    former, trainer._moments = trainer._moments, moments
    trainer.recorded = _recorded(trainer, validation is not None)
    trainer._stopping = False
    interrupts = trainer._interrupts
    installed = interrupts.install()
    try:
        interrupts.release()
        for begin in moments.on_fit_begin:
            begin(trainer)
        for _ in range(epochs):
            if trainer._stopping:
                break
            row = _epoch(trainer, batches, history.epochs + 1, record)
            if validation is not None:
                scores = trainer._evaluate(validation)
                row |= {f"validation_{name}": value for name, value in scores.items()}
            row["learning_rate"] = trainer.optimizer.last_learning_rate
            row["dead_units"] = trainer._replay.meter.dead_units()
            history.append(row)
            for end in moments.on_epoch_end:
                end(trainer, history.last())
        for end in moments.on_fit_end:
            end(trainer, history)
    finally:
        trainer._moments, trainer._place = former, None
        if line is not None:
            line.close()
        if installed:
            interrupts.remove()
    return history


def _epoch(trainer: Any, batches: Minibatches, epoch: int, record: bool) -> dict[str, Any]:
    """Run one epoch and return the columns that the batches gave."""
    moments, replay = trainer._moments, trainer._replay
    for begin in moments.on_epoch_begin:
        begin(trainer, epoch)
    replay.meter.begin()
    order = batches.draw()
    number, total = 0, len(batches)
    while number < total:
        done, value = _stretch(trainer, batches, order, number, record)
        if not done:
            trainer._place = (epoch, number + 1)
            done, value = 1, _step(trainer, batches.batch(number, order), close=number + 1 == total)
        number += done
        for end in moments.on_step_end:
            end(trainer, trainer.steps, value)
    columns: dict[str, Any] = replay.meter.record()
    return columns


def _step(trainer: Any, arrays: tuple[Array, ...], close: bool) -> float:
    """Run one step in the layers."""
    interrupts = trainer._interrupts
    interrupts.hold()
    try:
        value: float = trainer._step(*arrays, close=close)
        trainer._replay.meter.add(value, trainer._output, *arrays[1:], penalty=trainer._last_penalty)
    finally:
        interrupts.release()
    return value


def _stretch(
    trainer: Any, batches: Minibatches, order: Array | None, number: int, record: bool
) -> tuple[int, float]:
    """Replay minibatches from ``number`` on; return how many, 0 if the next must run in the layers."""
    moments, replay, interrupts = trainer._moments, trainer._replay, trainer._interrupts
    replay.refresh()
    if moments.on_gradients_ready:
        return 0, 0.0
    start = number * batches.batch_size
    rows = min(batches.batch_size, batches.rows - start)
    x, y, *rest = batches.arrays
    weight = rest[0] if rest else None
    batch = slice(start, start + rows)
    captured = replay.capture(x[batch], y[batch], None if weight is None else weight[batch], record)
    if captured is None:
        return 0, 0.0
    seconds = min(_LONGEST_STRETCH, moments.seconds_between_steps)
    steps = 1
    if seconds > 0.0 and captured.measured and rows == batches.batch_size:
        steps = min(batches.rows // rows - number, replay.most_steps)
    losses = np.empty(steps)
    last = number + steps == len(batches)
    interrupts.hold()
    try:
        done, correct, penalty = replay.stretch(
            captured.capture, x, y, weight, order, start, rows, steps, seconds, last, losses
        )
        if done:
            meter, weighted = replay.meter, weight is not None
            targets = (batches.batch(number + i, order)[1:] for i in range(done))
            meter.add_stretch(
                losses[:done],
                correct,
                targets,
                rows,
                weighted=weighted,
                counted=captured.counted,
                penalty=penalty,
            )
            if not captured.measured:
                meter.add_accuracy(captured.output, y[batch] if order is None else captured.batch[1])
    finally:
        interrupts.release()
    return done, float(losses[done - 1]) if done else 0.0


def _recorded(trainer: Any, validated: bool) -> tuple[str, ...]:
    """Return the names of the columns that a fit records."""
    measured = ("loss", "accuracy") if has_accuracy(trainer.loss) else ("loss",)
    validation = tuple(f"validation_{name}" for name in measured) if validated else ()
    penalty = ("penalty",) if trainer.l2_penalty else ()
    return (*measured, *penalty, *validation, "learning_rate", "dead_units")
