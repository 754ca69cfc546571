"""The epochs of a running training: a live table on a terminal, one plain line each elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from relu_layers.history import History
from relu_layers.trainer import Trainer

_ROWS_SHOWN = 8
_REFRESH_SECONDS = 0.1


class EpochTable:
    """A callback for `Trainer.fit` that shows the epochs while it is entered; ``history`` is the trainer's."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.history = History()
        self._console = console
        self._epochs = epochs
        self._begin = time.perf_counter()
        self._end = self._begin
        self._shown = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> EpochTable:
        """Begin the display and the clock."""
        self._begin = time.perf_counter()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the last state of the table on the screen."""
        if self._live is not None:
            if len(self.history):
                self._live.update(self._table(), refresh=True)
            self._live.stop()

    def __call__(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Show the record of an epoch."""
        self.history = trainer.history
        self._end = time.perf_counter()
        if self._live is None:
            self._console.print(self._line(record), soft_wrap=True)
        elif self._end - self._shown > _REFRESH_SECONDS:
            self._shown = self._end
            self._live.update(self._screen(), refresh=True)

    @property
    def seconds(self) -> float:
        """Seconds from the beginning to the last epoch."""
        return self._end - self._begin

    @property
    def best(self) -> dict[str, Any]:
        """The record of the epoch with the lowest validation loss, or training loss where there is none."""
        return min(self.history, key=_judged)

    def _line(self, record: dict[str, Any]) -> str:
        width = len(str(self._epochs))
        parts = [f"epoch {record['epoch']:>{width}}/{self._epochs}", f"loss {record['loss']:.4f}"]
        for name, title in (("accuracy", "accuracy"), ("validation_loss", "validation loss")):
            if _has(record, name):
                parts.append(f"{title} {_cell(record, name)}")
        if _has(record, "validation_accuracy"):
            parts.append(f"validation accuracy {_cell(record, 'validation_accuracy')}")
        return "  ".join(parts)

    def _screen(self) -> Group:
        done = len(self.history)
        left = self.seconds / done * (self._epochs - done)
        bar = Table.grid(padding=(0, 1))
        clock = Text(f"{self.seconds:.0f} s, at most {left:.0f} s left", style="dim")
        bar.add_row(ProgressBar(self._epochs, done, width=36), f"{done}/{self._epochs}", clock)
        return Group(self._table(), bar)

    def _table(self) -> Table:
        last = self.history.last()
        names = ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"]
        names = [name for name in names if _has(last, name)]
        dead = _has(last, "dead_units")
        table = Table(box=None, padding=(0, 1), header_style="bold")
        for name in names:
            table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
        if dead:
            table.add_column("dead\nunits", justify="right")
        table.add_column("", no_wrap=True)
        best = self.best
        shown = list(self.history)[-_ROWS_SHOWN:]
        if best not in shown:
            shown = [best, *shown[1:]]
        for record in shown:
            cells = [_cell(record, name) for name in names]
            if dead:
                cells.append(_dead(record))
            table.add_row(*cells, "<- best" if record == best else "", style="bold" if record == best else "")
        return table


def _judged(record: dict[str, Any]) -> float:
    """Return the loss by which the best epoch is chosen."""
    return float(record["validation_loss"] if _has(record, "validation_loss") else record["loss"])


def _has(record: dict[str, Any], name: str) -> bool:
    """Return whether the record has a number (not None, not NaN) under this name."""
    value = record.get(name)
    if name == "dead_units":
        return value is not None and len(value) > 0
    return value is not None and value == value


def _cell(record: dict[str, Any], name: str) -> str:
    value = record[name]
    if name == "epoch":
        return str(value)
    if name.endswith("accuracy"):
        return f"{value:.1%}"
    return f"{value:.2e}" if name == "learning_rate" else f"{value:.4f}"


def _dead(record: dict[str, Any]) -> str:
    return " ".join(str(int(count)) for count in record["dead_units"])
