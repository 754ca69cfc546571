"""Who may use a model now: any number of inferences, or one thread that trains."""

from __future__ import annotations

# The low-level module: `threading` would add a fifth to the package's import time.
from _thread import allocate_lock, get_ident
from types import TracebackType


class UsageGuard:
    """Counts running inferences and knows the training thread; a clash is a RuntimeError, never a wait.

    As a context manager it is the exclusive use: ``with guard: ...`` may be nested by its own thread, which
    may also run inference inside.
    """

    __slots__ = ("_depth", "_lock", "_readers", "_trainer")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._readers = 0
        self._trainer: int | None = None
        self._depth = 0

    def begin_inference(self) -> None:
        """Register an inference of this thread."""
        with self._lock:
            if self._trainer is not None and self._trainer != get_ident():
                raise RuntimeError(
                    "the model is being trained by another thread; "
                    "wait for that, or use a copy: copy.deepcopy(model)"
                )
            self._readers += 1

    def end_inference(self) -> None:
        """Undo `begin_inference`."""
        with self._lock:
            self._readers -= 1

    def __enter__(self) -> None:
        me = get_ident()
        with self._lock:
            if self._trainer == me:
                self._depth += 1
                return
            if self._trainer is not None or self._readers:
                raise RuntimeError(
                    "the model is in use by another thread, so it cannot be trained now; "
                    "wait for that, or train a copy: copy.deepcopy(model)"
                )
            self._trainer, self._depth = me, 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._trainer = None
