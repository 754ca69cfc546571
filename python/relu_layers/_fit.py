"""The loop of `Trainer.fit`: epochs, minibatches, what is recorded, who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from relu_layers._configured import Array
from relu_layers._epoch import EpochMeter, has_accuracy
from relu_layers._inputs import converted_array
from relu_layers._progress import TextProgress
from relu_layers.callbacks import Moments
from relu_layers.data import Minibatches
from relu_layers.history import History
from relu_layers.losses import Loss, SoftmaxCrossEntropy


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
    if not isinstance(y, np.ndarray) and not hasattr(y, "__dlpack__") and not hasattr(y, "to_numpy"):
        y = np.asarray(y)
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
    loss.ops = trainer.model.ops
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
    shuffle: bool,
    progress: Any,
    callbacks: Sequence[Any],
) -> History:
    """Train; the arguments are checked already, and the model is this thread's alone."""
    history: History = trainer.history
    batches = Minibatches(*given.arrays(), batch_size=batch_size, shuffle=shuffle, rng=trainer.rng)
    line = TextProgress(epochs, len(batches)) if progress is True else None
    watchers = [line] if line is not None else [progress] if progress else []
    moments = Moments([*trainer.callbacks, *callbacks, *watchers])
    meter = EpochMeter(trainer.model, trainer.loss, trainer._depth)
    former, trainer._moments = trainer._moments, moments
    trainer.recorded = _recorded(trainer.loss, validation is not None)
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
            record = _epoch(trainer, batches, meter, history.epochs + 1)
            if validation is not None:
                scores = trainer._evaluate(validation)
                record |= {f"validation_{name}": value for name, value in scores.items()}
            record["learning_rate"] = trainer.optimizer.last_learning_rate
            record["dead_units"] = meter.dead_units()
            history.append(record)
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


def _epoch(trainer: Any, batches: Minibatches, meter: EpochMeter, epoch: int) -> dict[str, Any]:
    """Run one epoch and return the columns that the batches gave."""
    moments, interrupts = trainer._moments, trainer._interrupts
    for begin in moments.on_epoch_begin:
        begin(trainer, epoch)
    meter.begin()
    last = len(batches)
    for batch, arrays in enumerate(batches, 1):
        trainer._place = (epoch, batch)
        interrupts.hold()
        try:
            value = trainer._step(*arrays, close=batch == last)
            meter.add(value, trainer._output, *arrays[1:])
        finally:
            interrupts.release()
        for end in moments.on_step_end:
            end(trainer, trainer.steps, value)
    return meter.record()


def _recorded(loss: Any, validated: bool) -> tuple[str, ...]:
    """Return the names of the columns that a fit records."""
    measured = ("loss", "accuracy") if has_accuracy(loss) else ("loss",)
    validation = tuple(f"validation_{name}" for name in measured) if validated else ()
    return (*measured, *validation, "learning_rate", "dead_units")
