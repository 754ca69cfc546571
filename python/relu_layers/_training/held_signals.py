"""Ctrl-C and SIGTERM while several ranks train: noted where they arrive, acted on by all ranks at one place."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see `interrupts`
from collections.abc import Callable
from types import TracebackType
from typing import Any

_NOTED: tuple[int, ...] = (_signal.SIGINT, _signal.SIGTERM)


class HeldSignals:
    """Notes SIGINT and SIGTERM while it is entered; in the main thread only, where a program gets them.

    A signal that this process ignores stays ignored.

    Attributes
    ----------
    noted : int
        Number of the last signal that came, 0 if there was none.
    """

    def __init__(self) -> None:
        self.noted = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> HeldSignals:
        """Take the signals over."""
        self.noted = 0
        for number in _NOTED:
            former = _signal.getsignal(number)
            if former is None or former == _signal.SIG_IGN:
                continue
            try:
                _signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
            self._former[number] = former
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back; one that came too late for all ranks goes to this process alone."""
        former = self._restore()
        if self.noted and error is None:
            _deliver(self.noted, former.get(self.noted))

    def act(self, number: int) -> None:
        """Do on this rank what ``number``, which came to some rank, asks for: raise."""
        came_here = self.noted == number
        self.noted = 0
        if came_here:
            _deliver(number, self._former.get(number))
        raise _ended_by(number)

    def _restore(self) -> dict[int, Any]:
        former, self._former = self._former, {}
        for number, handler in former.items():
            _signal.signal(number, handler)
        return former

    def _note(self, number: int, frame: Any) -> None:
        self.noted = number


def _deliver(number: int, handler: Callable[[int, Any], Any] | int | None) -> None:
    """Call the handler that the signal had before, or raise where that was the system's."""
    if callable(handler):
        handler(number, None)
    else:
        raise _ended_by(number)


def _ended_by(number: int) -> BaseException:
    """Return what ends a program as the signal would: KeyboardInterrupt, or the exit status of a shell."""
    return KeyboardInterrupt() if number == _signal.SIGINT else SystemExit(128 + number)
