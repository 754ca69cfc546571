"""A progress line in plain text, for ``fit(progress=True)``."""

from __future__ import annotations

import sys
import time
from typing import Any

from relu_layers.callbacks import Callback

_REFRESH_SECONDS = 0.1
_WIDTH = 24


class TextProgress(Callback):
    """One line on stderr that fills up on a terminal; elsewhere one line per epoch."""

    refresh_seconds = _REFRESH_SECONDS

    def __init__(self, epochs: int, batches: int) -> None:
        self._stream = sys.stderr
        self._live = self._stream is not None and self._stream.isatty()
        self._epochs, self._batches = epochs, batches
        self._epoch = self._first = 0
        self._shown = 0.0
        self._length = 0

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Count the epochs of this fit."""
        self._epoch += 1
        self._first = trainer.steps

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        """Draw the bar anew, ten times a second at most."""
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
