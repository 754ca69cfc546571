"""Callbacks: objects that look at a training, or end it.

A callback is a plain callable ``callback(trainer, record)``, called after every epoch with that epoch's row of
the history, or an object with some of the ``on_*`` methods of `Callback`.
"""

from __future__ import annotations

import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relu_layers._support.arguments import boolean, fraction, integer, real
from relu_layers._support.configured import Array, Configured
from relu_layers.schedules import Constant

if TYPE_CHECKING:
    from relu_layers._support.files import AnyPath

# Of the progress line: seconds between two drawings, columns of the bar.
_REFRESH_SECONDS, _WIDTH = 0.1, 24

MOMENTS = (
    "on_fit_begin",
    "on_epoch_begin",
    "on_gradients_ready",
    "on_step_end",
    "on_epoch_end",
    "on_fit_end",
)


class Callback:
    """Base of callbacks: override the moments that matter.

    Attributes
    ----------
    refresh_seconds : float
        Seconds between two calls of `on_step_end` in a `Trainer.fit`, about, as a progress bar wants it: captured steps
        run on in between. 0, the default, is every step.
    every_rank : bool
        Whether it runs on every rank of a training on several. The default is rank 0 alone, as fits what prints or
        writes; what changes the model has to run on all. `Trainer.stop` on one rank stops all.

    Notes
    -----
    An exception from a callback ends the training; model, optimizer and history are then as after the last
    whole step (one from `on_gradients_ready` undoes its step).
    """

    refresh_seconds: float = 0.0
    every_rank: bool = False

    def on_fit_begin(self, trainer: Any) -> None:
        """Before the first epoch of a `Trainer.fit`."""

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Before an epoch; epochs count from 1 over all calls of fit."""

    def on_gradients_ready(self, trainer: Any) -> None:
        """Before an update: ``trainer.model.grads`` holds the sum over the accumulated minibatches.

        The moment to look at gradients or to change them in place; clipping, division and decay come after.
        """

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        """After a minibatch; ``step`` is ``trainer.steps``, ``loss`` its loss before the update."""

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """After an epoch, its row of the history in ``record``."""

    def on_fit_end(self, trainer: Any, history: Any) -> None:
        """After the last epoch, also after `Trainer.stop`; not after an exception or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on: plain values and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state_dict` returned."""


def _number(value: Any) -> float:
    """Return an entry of the history as one number: counts of several layers add up."""
    return float(sum(value) if isinstance(value, (tuple, list)) else value)


def _refuse_other_column(owner: str, monitor: Any, trainer: Any) -> None:
    """Raise a ValueError unless the running fit records the column."""
    if monitor not in trainer.recorded:
        hint = "pass validation=(x, y) to fit, or " if str(monitor).startswith("validation") else ""
        raise ValueError(
            f"{owner}: this training records no {monitor!r}; "
            f"{hint}choose monitor from {', '.join(trainer.recorded)}"
        )


def _is_better(monitor: str, value: float, best: float | None, min_delta: float = 0.0) -> bool:
    """Return whether a value of a column is better than the best before, by more than ``min_delta``."""
    if best is None:
        return value == value
    return (value - best if "accuracy" in monitor else best - value) > min_delta


class EarlyStopping(Callback, Configured):
    """Ends a training whose ``monitor`` has stopped getting better, and keeps its best weights.

    Parameters
    ----------
    patience : int
        Epochs without improvement before the training is stopped.
    monitor : str
        Column of the history. Names with ``accuracy`` are better when larger, all others when smaller.
    min_delta : float
        What counts as an improvement: a change by more than this.
    restore_best : bool
        Whether the model has the weights of the best epoch when fit ends, stopped or not.

    Attributes
    ----------
    best : float or None
        Best value so far.
    best_epoch : int or None
        Its epoch, counted from 1.

    Notes
    -----
    The best value and its weights stay from one `Trainer.fit` to the next of the same trainer; the count of
    epochs without improvement stays too, unless it was what ended the last one.

    Examples
    --------
    >>> import relu_layers as rl
    >>> x, y = rl.data.two_moons(100, rng=0)
    >>> trainer = rl.Trainer(rl.mlp([2, 4, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.1))
    >>> history = trainer.fit(
    ...     x[:80], y[:80], epochs=300, validation=(x[80:], y[80:]), callbacks=rl.EarlyStopping(patience=5)
    ... )
    >>> len(history) < 300
    True
    """

    every_rank = True
    best: float | None
    best_epoch: int | None
    waited: int

    def __init__(
        self,
        patience: int = 10,
        monitor: str = "validation_loss",
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self.patience = integer("EarlyStopping", "patience", patience, minimum=1)
        self.monitor = monitor
        self.min_delta = real("EarlyStopping", "min_delta", min_delta, minimum=0.0)
        self.restore_best = boolean("EarlyStopping", "restore_best", restore_best)
        self._owner: weakref.ref[Any] | None = None
        self._forget()

    def _forget(self) -> None:
        self.best = None
        self.best_epoch = None
        self.waited = 0
        self._weights: Array | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        """Check that the column will be there, and start afresh with another trainer."""
        _refuse_other_column("EarlyStopping", self.monitor, trainer)
        if self._owner is not None and self._owner() is not trainer:
            self._forget()
        size = trainer.model.flat_params.shape
        if self._weights is not None and self._weights.shape != size:
            raise ValueError(
                f"EarlyStopping: its best weights are of shape {self._weights.shape}, the model's of {size}"
            )
        self._owner = weakref.ref(trainer)
        if self.waited >= self.patience:
            self.waited = 0

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Compare this epoch with the best one."""
        value = _number(record[self.monitor])
        if _is_better(self.monitor, value, self.best, self.min_delta):
            self.best, self.best_epoch, self.waited = value, record["epoch"], 0
            if self.restore_best:
                if self._weights is None:
                    self._weights = trainer.model.flat_params.copy()
                else:
                    np.copyto(self._weights, trainer.model.flat_params)
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop()

    def on_fit_end(self, trainer: Any, history: Any) -> None:
        """Put the best weights back."""
        if self._weights is not None:
            np.copyto(trainer.model.flat_params, self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch and weights, and how long there was no better one."""
        state = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return state if self._weights is None else {**state, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state_dict` returned."""
        best, epoch, weights = state["best"], state["best_epoch"], state.get("weights")
        if weights is not None and not isinstance(weights, np.ndarray):
            raise ValueError(f"EarlyStopping: weights are {type(weights).__name__}, expected an array")
        self.waited = integer("EarlyStopping", "waited", state["waited"], minimum=0)
        self.best = None if best is None else real("EarlyStopping", "best", best, finite=False)
        self.best_epoch = None if epoch is None else integer("EarlyStopping", "best_epoch", epoch)
        self._weights = None if weights is None else np.array(weights)
        self._owner = None

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_owner": None}


class ModelCheckpoint(Callback, Configured):
    """Saves the model after every epoch, or after those that were the best so far.

    Parameters
    ----------
    path : path-like
        Of the model's file; its suffix decides the format. Each epoch replaces it as a whole.
    monitor : str or None
        Column of the history; the file then holds the best epoch's model. Names with ``accuracy`` are better when
        larger, all others when smaller. None saves the last epoch's.

    Notes
    -----
    For a training that goes on bit for bit, `Trainer.save_checkpoint` keeps the optimizer's state too.
    """

    best: float | None

    def __init__(self, path: AnyPath, monitor: str | None = None) -> None:
        self.path = os.fsdecode(path)
        self.monitor = monitor
        self.best = None

    def on_fit_begin(self, trainer: Any) -> None:
        """Check that the column will be there."""
        if self.monitor is not None:
            _refuse_other_column("ModelCheckpoint", self.monitor, trainer)

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Save, if this epoch is one to save."""
        if self.monitor is not None:
            value = _number(record[self.monitor])
            if not _is_better(self.monitor, value, self.best):
                return
            self.best = value
        trainer.model.save(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the best value."""
        best = state["best"]
        self.best = None if best is None else real("ModelCheckpoint", "best", best, finite=False)


class CSVLog(Callback, Configured):
    """Writes the history to a CSV file after every epoch, as `History.to_csv` does.

    Parameters
    ----------
    path : path-like
        It is replaced as a whole, so a reader never sees half a line; a restored trainer's file has all epochs.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = os.fsdecode(path)

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Write all epochs."""
        trainer.history.to_csv(self.path)


class ReduceOnPlateau(Callback, Configured):
    """Lowers a constant learning rate when ``monitor`` has stopped getting better.

    Parameters
    ----------
    factor : float
        The rate is multiplied by it, above 0 and below 1.
    patience : int
        Epochs without improvement before that, and before the next time.
    monitor : str
        Column of the history. Names with ``accuracy`` are better when larger, all others when smaller.
    min_delta : float
        What counts as an improvement: a change by more than this.
    min_rate : float
        The rate does not fall below it.
    """

    every_rank = True
    best: float | None
    waited: int

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        monitor: str = "validation_loss",
        min_delta: float = 0.0,
        min_rate: float = 0.0,
    ) -> None:
        self.factor = fraction("ReduceOnPlateau", "factor", factor)
        self.patience = integer("ReduceOnPlateau", "patience", patience, minimum=1)
        self.monitor = monitor
        self.min_delta = real("ReduceOnPlateau", "min_delta", min_delta, minimum=0.0)
        self.min_rate = real("ReduceOnPlateau", "min_rate", min_rate, minimum=0.0)
        self.best, self.waited = None, 0

    def on_fit_begin(self, trainer: Any) -> None:
        """Check that the column will be there, and that the rate is a constant."""
        _refuse_other_column("ReduceOnPlateau", self.monitor, trainer)
        if not isinstance(trainer.optimizer.learning_rate, Constant):
            raise ValueError(
                f"ReduceOnPlateau: the learning rate is {trainer.optimizer.learning_rate!r}, expected a number"
            )

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Compare this epoch with the best one."""
        value = _number(record[self.monitor])
        if _is_better(self.monitor, value, self.best, self.min_delta):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            rate = trainer.optimizer.learning_rate.base
            trainer.optimizer.learning_rate = max(rate * self.factor, min(rate, self.min_rate))
            self.waited = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, and how long there was no better one."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state_dict` returned."""
        best = state["best"]
        self.best = None if best is None else real("ReduceOnPlateau", "best", best, finite=False)
        self.waited = integer("ReduceOnPlateau", "waited", state["waited"], minimum=0)


def _redraws(stream: Any) -> bool:
    """Return whether a stream is a notebook's, which shows what follows a carriage return in its place."""
    return type(stream).__module__.partition(".")[0] in ("ipykernel", "pyodide_kernel", "google")


class TextProgress(Callback):
    """A line on stderr that fills up on a terminal or in a notebook, elsewhere a line per epoch.

    ``fit(progress=True)`` has one.
    """

    refresh_seconds = _REFRESH_SECONDS

    def __init__(self, epochs: int, batches: int) -> None:
        self._stream = sys.stderr
        self._live = self._stream is not None and (self._stream.isatty() or _redraws(self._stream))
        self._epochs, self._batches = epochs, batches
        self._epoch = self._first = 0
        self._shown = 0.0
        self._length = 0

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Count the epochs of this fit."""
        self._epoch += 1
        self._first = trainer.steps

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        """Redraw the bar, ten times a second at most."""
        now = time.monotonic()
        if self._live and now - self._shown >= _REFRESH_SECONDS:
            self._shown = now
            filled = _WIDTH * (step - self._first) // self._batches
            bar = "=" * filled + " " * (_WIDTH - filled)
            self._write(f"epoch {self._epoch}/{self._epochs} [{bar}] loss {loss:.4f}")

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Show the epoch's numbers."""
        numbers = (f"{k.replace('_', ' ')} {v:.4g}" for k, v in record.items() if isinstance(v, float))
        self._write(f"epoch {self._epoch}/{self._epochs}  {'  '.join(numbers)}")

    def close(self) -> None:
        """End the line."""
        if self._live and self._length:
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        if self._live:
            self._stream.write("\r" + text.ljust(self._length))
            self._length = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


# Those that a checkpoint rebuilds. What writes files is passed to `Trainer.restore`: no file decides where to write.
BUILT_IN: dict[str, type[Any]] = {kind.__name__: kind for kind in (EarlyStopping, ReduceOnPlateau)}


class Moments:
    """The methods of some callbacks, by moment; methods of `Callback` itself, which do nothing, are left out.

    On a rank above 0 only callbacks with ``every_rank`` count.
    """

    __slots__ = (*MOMENTS, "seconds_between_steps")

    def __init__(self, callbacks: Iterable[Any], rank: int = 0) -> None:
        found: dict[str, list[Callable[..., None]]] = {name: [] for name in MOMENTS}
        for callback in callbacks:
            check_callback(callback)
            if rank and not getattr(callback, "every_rank", False):
                continue
            for name in MOMENTS:
                method = getattr(callback, name, None)
                if method is not None and getattr(method, "__func__", None) is not getattr(Callback, name):
                    found[name].append(method)
            if callable(callback):
                found["on_epoch_end"].append(callback)
        self.on_fit_begin = found["on_fit_begin"]
        self.on_epoch_begin = found["on_epoch_begin"]
        self.on_gradients_ready = found["on_gradients_ready"]
        self.on_step_end = found["on_step_end"]
        self.on_epoch_end = found["on_epoch_end"]
        self.on_fit_end = found["on_fit_end"]
        # Without such a method steps run on for ever; one that names no seconds is called after every step.
        owners = [getattr(method, "__self__", None) for method in found["on_step_end"]]
        asked = [getattr(owner, "refresh_seconds", 0.0) for owner in owners]
        self.seconds_between_steps = min(asked, default=math.inf)

    @staticmethod
    def of(callbacks: Sequence[Any], rank: int = 0) -> Moments:
        """Return the moments of callbacks; of none always the same object, so that nothing is made for nothing."""
        return Moments(callbacks, rank) if callbacks else _NO_MOMENTS


_NO_MOMENTS = Moments(())


def as_callbacks(owner: str, given: Any) -> tuple[Any, ...]:
    """Return callbacks as a tuple: None is none, one callback stands for itself; each is checked."""
    if given is None or (isinstance(given, (list, tuple)) and not given):
        return ()
    single = callable(given) or any(hasattr(given, name) for name in MOMENTS)
    if not single and (isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable)):
        raise TypeError(f"{owner}: callbacks is {given!r}, expected a callback or a list of them")
    callbacks = (given,) if single else tuple(given)
    for callback in callbacks:
        check_callback(callback)
    return callbacks


def check_callback(callback: Any) -> None:
    """Raise a TypeError unless ``callback`` can be called or has a method of `Callback`."""
    if isinstance(callback, type):
        raise TypeError(f"callbacks: got the class {callback.__name__}; pass {callback.__name__}(...)")
    if not callable(callback) and not any(hasattr(callback, name) for name in MOMENTS):
        raise TypeError(
            f"callbacks: {callback!r} is neither callable as callback(trainer, record) "
            f"nor has any of {', '.join(MOMENTS)}"
        )
