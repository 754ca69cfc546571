"""Ctrl-C while the program `relu-layers` starts: it ends at once, without the traceback of an import."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` wraps the same functions, twelve times slower
import os
import sys
from typing import Any

_SIGINT: int = _signal.SIGINT
_INTERRUPTED = 130
_NAMES = ("relu-layers", "relu-layers.exe", "relu-layers-script.py")


def leave_on_interrupt() -> None:
    """Let Ctrl-C end the process with 130 if it is the program; nobody else's handler is touched."""
    if _is_program() and _signal.getsignal(_SIGINT) is _signal.default_int_handler:
        _signal.signal(_SIGINT, _leave)


def take_interrupts() -> None:
    """Let Ctrl-C raise a KeyboardInterrupt again, now that there is something that catches it."""
    if _signal.getsignal(_SIGINT) is _leave:
        _signal.signal(_SIGINT, _signal.default_int_handler)


def _is_program() -> bool:
    """Return whether Python was started as `relu-layers` or with ``-m relu_layers``."""
    if not sys.argv or sys.argv[0] != "-m":
        return bool(sys.argv) and os.path.basename(sys.argv[0]) in _NAMES
    given = sys.orig_argv
    module = given[given.index("-m") + 1] if "-m" in given[:-1] else ""
    return "-mrelu_layers" in given or module in ("relu_layers", "relu_layers.__main__")


def _leave(number: int, frame: Any) -> None:
    os._exit(_INTERRUPTED)
