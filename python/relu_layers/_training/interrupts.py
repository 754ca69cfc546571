"""Ctrl-C between steps: a step is never cut in two."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` wraps the same functions, twelve times slower
from types import TracebackType
from typing import Any

_SIGINT: int = _signal.SIGINT


class Interrupts:
    """Holds back SIGINT while a step runs: a context manager, which may be nested.

    Inside, a signal is kept until `release`, or until the outermost context ends and the former handler is back. Only
    the main thread of a program gets signals, and only a Python handler can be held back; elsewhere, and where SIGINT
    is ignored or ends the process, nothing is installed.
    """

    __slots__ = ("_former", "_handler", "_held", "_installed", "_pending")

    def __init__(self) -> None:
        self._former: Any = None
        self._held = False
        self._pending = False
        self._handler = self._note
        # For each open context, whether it is the one that took the signal over.
        self._installed: list[bool] = []

    def __enter__(self) -> None:
        self._held = True
        self._installed.append(self._install())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed.pop():
            self._remove()
        else:
            self.release()

    def _install(self) -> bool:
        """Take the signal over if that is possible and not done yet; return whether this call did."""
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

    def _remove(self) -> None:
        """Give the signal back to the former handler, and to it a signal that was held back."""
        former, self._former = self._former, None
        if _signal.getsignal(_SIGINT) is self._handler:
            _signal.signal(_SIGINT, former)
        self._held = False
        if self._pending:
            self._pending = False
            former(_SIGINT, None)

    def hold(self) -> None:
        """Keep a signal from now on until `release`."""
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
