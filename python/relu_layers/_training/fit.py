"""The loop of `Trainer.fit`: epochs, minibatches, what is recorded, who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from relu_layers._progress import TextProgress
from relu_layers._streaming import ArraySource, Ordered, Rows, Source, StreamedMinibatches, is_source
from relu_layers._support.configured import Array
from relu_layers._support.inputs import any_array, converted_array
from relu_layers._training.meter import has_accuracy
from relu_layers.callbacks import Moments
from relu_layers.data import Minibatches
from relu_layers.history import History
from relu_layers.losses import Loss, SoftmaxCrossEntropy

# Labels of a source that are checked at once.
_TARGETS_AT_ONCE = 2**18
# Steps of one `fit` from which on they are captured.
_STEPS_WORTH_A_CAPTURE = 16
# Seconds after which a stretch of captured steps lets Python look for a signal.
_LONGEST_STRETCH = 0.05


class Examples(NamedTuple):
    """Inputs, targets and perhaps one weight per row, in the dtypes that training takes.

    Of a source they are `Rows`, which are sliced as arrays are and know no more than that.
    """

    x: Array
    y: Array
    sample_weight: Array | None

    def minibatches(
        self, batch_size: int, shuffle: bool | Callable[[int], Any], rng: np.random.Generator
    ) -> Ordered:
        """Return passes over all rows."""
        given = (self.x, self.y) if self.sample_weight is None else (self.x, self.y, self.sample_weight)
        source = getattr(self.x, "source", None)
        if source is None:
            return Minibatches(*given, batch_size=batch_size, shuffle=shuffle, rng=rng)
        dtypes = [array.dtype for array in given]
        return StreamedMinibatches(source, dtypes, batch_size=batch_size, shuffle=shuffle, rng=rng)

    def targets(self) -> Iterator[tuple[int, Array]]:
        """Yield the targets in parts, each with the number of rows before it: views, or rows read for once."""
        step = _TARGETS_AT_ONCE if hasattr(self.y, "source") else max(len(self.y), 1)
        for start in range(0, len(self.y), step):
            yield start, self.y[start : start + step]


def given_rows(owner: str, trainer: Any, x: Any, y: Any, sample_weight: Any = None) -> Examples:
    """Return `examples`, or what reads a source: also a mapped file that would be read whole to convert it."""
    if is_source(x):
        if y is not None or sample_weight is not None:
            raise TypeError(f"{owner}: a source has its own targets and weights, expected x alone")
        return _streamed(owner, trainer, x)
    if y is None:
        raise TypeError(f"{owner}: y is missing; only a source, as open_source returns, brings its own")
    if isinstance(x, np.memmap) and not (x.dtype == trainer.model.dtype and x.flags.c_contiguous):
        arrays = [np.asarray(one) for one in (y, sample_weight) if one is not None]
        if x.ndim and len(x) and all(one.shape[:1] == x.shape[:1] for one in arrays):
            return _streamed(owner, trainer, ArraySource(x, *arrays))
    return examples(owner, trainer, x, y, sample_weight)


def examples(owner: str, trainer: Any, x: Any, y: Any, sample_weight: Any = None) -> Examples:
    """Return the arrays converted once where their dtype differs, their lengths checked."""
    dtype = trainer.model.dtype
    x = converted_array(owner, "x", x, dtype)
    if not hasattr(y, "to_numpy"):
        y = any_array(owner, "y", y)
    if not (_keeps_integers(trainer.loss) and isinstance(y, np.ndarray) and y.dtype.kind in "iub"):
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


def _streamed(owner: str, trainer: Any, source: Source) -> Examples:
    """Return what reads the arrays of a source, in the dtypes that arrays would be converted to."""
    if len(source) == 0:
        raise ValueError(f"{owner}: the source has no rows")
    names = ("x", "y", "sample_weight")
    fields = source.fields
    if len(fields) not in (2, 3):
        raise ValueError(
            f"{owner}: the source has {len(fields)} fields, expected x, y and perhaps sample_weight"
        )
    arrays: list[Any] = []
    for index, (name, field) in enumerate(zip(names, fields, strict=False)):
        if field.dtype.kind not in "fiub":
            raise TypeError(f"{owner}: {name} has dtype {field.dtype}, expected numbers")
        keeps = name == "y" and field.dtype.kind in "iub" and _keeps_integers(trainer.loss)
        arrays.append(Rows(source, index, field.dtype.newbyteorder("=") if keeps else trainer.model.dtype))
    if len(fields) == 3 and fields[2].shape != ():
        raise ValueError(
            f"{owner}: sample_weight has {fields[2].shape} in each row, expected a single number"
        )
    return Examples(arrays[0], arrays[1], arrays[2] if len(arrays) == 3 else None)


def _keeps_integers(loss: Any) -> bool:
    """Return whether integer targets are labels, which stay as they are."""
    return isinstance(loss, SoftmaxCrossEntropy) or not isinstance(loss, Loss)


def check_before_training(owner: str, trainer: Any, given: Examples) -> None:
    """Raise now what the package's losses would find wrong later: shapes, dtypes, any label."""
    loss = trainer.loss
    if not isinstance(loss, Loss):
        return
    loss.use(trainer.model.ops)
    y = trainer._outputs(given.x[:1])
    if isinstance(loss, SoftmaxCrossEntropy) and given.y.dtype.kind in "iu" and given.y.ndim < y.ndim:
        classes = y.shape[loss.axis]
        for before, labels in given.targets():
            bad = (labels < 0) | (labels >= classes)
            if loss.ignore_label is not None:
                bad &= labels != loss.ignore_label
            if bad.any():
                at = tuple(int(i) for i in np.argwhere(bad)[0])
                place = ", ".join(map(str, (before + at[0], *at[1:])))
                raise IndexError(
                    f"{owner}: y[{place}] is {labels[at]}, expected a label in 0 .. {classes - 1}"
                )
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
    batches = given.minibatches(batch_size, shuffle, trainer.rng)
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


def _epoch(trainer: Any, batches: Ordered, epoch: int, record: bool) -> dict[str, Any]:
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
    trainer: Any, batches: Ordered, order: Array | None, number: int, record: bool
) -> tuple[int, float]:
    """Replay minibatches from ``number`` on; return how many, 0 if the next must run in the layers."""
    moments, replay, interrupts = trainer._moments, trainer._replay, trainer._interrupts
    replay.refresh()
    if moments.on_gradients_ready:
        return 0, 0.0
    rows = min(batches.batch_size, batches.rows - number * batches.batch_size)
    (x, y, *rest), order, start = batches.window(number, order)
    weight = rest[0] if rest else None
    batch = slice(start, start + rows)
    captured = replay.capture(x[batch], y[batch], None if weight is None else weight[batch], record)
    if captured is None:
        return 0, 0.0
    seconds = min(_LONGEST_STRETCH, moments.seconds_between_steps)
    steps = 1
    if seconds > 0.0 and captured.measured and rows == batches.batch_size:
        steps = min((len(x) - start) // rows, replay.most_steps)
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
