"""Ctrl-C between steps: a step is never cut in two."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` wraps the same functions, twelve times slower
from typing import Any

_SIGINT: int = _signal.SIGINT


class Interrupts:
    """Holds back SIGINT while a step runs.

    Only the main thread of a program gets signals, and only a Python handler can be held back; elsewhere, and
    where SIGINT is ignored or ends the process, nothing is installed.
    """

    __slots__ = ("_former", "_handler", "_held", "_pending")

    def __init__(self) -> None:
        self._former: Any = None
        self._held = False
        self._pending = False
        self._handler = self._note

    def install(self) -> bool:
        """Hold the signal, after taking it over if that is possible and not done yet.

        Returns whether this call took it over: then `remove` is due at the end, else `release`.
        """
        self._held = True
        if self._former is not None:
            return False
        former = _signal.getsignal(_SIGINT)
        if not callable(former):
            return False
        try:
            _signal.signal(_SIGINT, self._handler)
        except ValueError:  # not the main thread
            return False
        self._former = former
        return True

    def remove(self) -> None:
        """Give the signal back to the former handler, and to it a signal that was held back."""
        former, self._former = self._former, None
        if _signal.getsignal(_SIGINT) is self._handler:
            _signal.signal(_SIGINT, former)
        self._held = False
        if self._pending:
            self._pending = False
            former(_SIGINT, None)

    def hold(self) -> None:
        """Keep a signal from now on until `release` or `remove`."""
        self._held = True

    def release(self) -> None:
        """Pass a kept signal to the former handler, which usually raises KeyboardInterrupt."""
        self._held = False
        if self._pending and self._former is not None:
            self._pending = False
            self._former(_SIGINT, None)

    def _note(self, number: int, frame: Any) -> None:
        if self._held or self._former is None:
            self._pending = True
        else:
            self._former(number, frame)
