"""Several processes that train one model: where they meet, and how all of them learn that one cannot go on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from types import TracebackType
from typing import NoReturn

import numpy as np

from relu_layers._support.configured import Array
from relu_layers._training.communicator import Communicator
from relu_layers._training.divergence import DivergenceError
from relu_layers._training.held_signals import HeldSignals
from relu_layers._training.shared_memory import SharedMemory, share_memory

# Numbers that a rank can bring along to a meeting.
MOST_NUMBERS = 7


class RankError(RuntimeError):
    """Another rank could not go on; the message names it and says why."""


class Place(IntEnum):
    """Where in a training ranks meet: what they do next depends on it."""

    AGREEMENT = 1
    GRADIENT = 2
    UPDATE = 3
    EPOCH = 4
    VALIDATION = 5


# What a rank brings along: whether it can go on.
_WELL, _FAILED, _DIVERGED = 0.0, 1.0, 2.0


class Ranks:
    """The ranks of a communicator while they train.

    All of them come to every `meet` of a training, in the same order, and exchange more only right after one. So a
    rank that cannot go on says so at the next meeting, whichever that is, and every rank raises there. Entering it
    is the place where that happens: an error that leaves the ``with`` block is taken to a last meeting first.

    Attributes
    ----------
    communicator : Communicator
    rank, size : int
    memory : SharedMemory or None
        What the ranks exchange through if all of them are on one machine, from their first meeting on.
    signal : int
        Number of a signal that some rank has got, 0 if there was none: the same on all ranks after a meeting.
    """

    memory: SharedMemory | None = None

    def __init__(self, communicator: Communicator, shared_bytes: int = 0) -> None:
        self.communicator = communicator
        self.rank, self.size = int(communicator.rank), int(communicator.size)
        self.signal = 0
        # Bytes of memory to share, None once it is known whether the ranks can.
        self._wanted: int | None = shared_bytes
        # The error that every rank has learned of, which need not be reported again.
        self._known: BaseException | None = None
        self._signals = HeldSignals()
        self._own = np.zeros(3 + MOST_NUMBERS)
        self._all = np.zeros((self.size, 3 + MOST_NUMBERS))

    def __enter__(self) -> Ranks:
        """Begin to hold signals back."""
        self.signal = 0
        self._signals.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take an error of this rank to all others; give signals back."""
        known, self._known = self._known, None
        try:
            if error is not None and error is not known:
                self._report(error)
        finally:
            self._signals.__exit__(kind, error, trace)

    def meet(self, place: Place, *numbers: float) -> list[list[float]]:
        """Return the numbers that each rank brings to this meeting, those of rank 0 first.

        Raises
        ------
        RankError
            A rank could not go on, or is at another place; it leaves the ``with`` block as what it says.
        """
        own = self._own
        own[0], own[1], own[2] = _WELL, place, self._signals.noted
        own[3 : 3 + len(numbers)] = numbers
        rows = self._gather(own).tolist()
        for row in rows:
            if row[0] != _WELL:
                self._learn(rows)
            if row[1] != place:
                self._out_of_step(rows)
            if row[2]:
                self.signal = int(row[2])
        if self._wanted is not None:
            self.memory, self._wanted = share_memory(self.communicator, own.size, self._wanted), None
        return [row[3:] for row in rows]

    def _gather(self, own: Array) -> Array:
        """Return what all ranks bring to a meeting, a row of each."""
        if self.memory is not None:
            return self.memory.gather(own)
        self.communicator.Allgather(own, self._all)
        return self._all

    def end_if_asked(self) -> None:
        """Raise on every rank if one has got a signal: KeyboardInterrupt, or SystemExit for SIGTERM."""
        if self.signal:
            number, self.signal = self.signal, 0
            try:
                self._signals.act(number)
            except BaseException as error:
                self._known = error
                raise

    def gather_bytes(self, own: bytes) -> list[bytes]:
        """Return what each rank has to say, of any length."""
        lengths = np.empty(self.size, dtype=np.int64)
        self.communicator.Allgather(np.array([len(own)], dtype=np.int64), lengths)
        longest = int(lengths.max())
        padded = np.zeros(longest, dtype=np.uint8)
        padded[: len(own)] = np.frombuffer(own, dtype=np.uint8)
        gathered = np.zeros((self.size, longest), dtype=np.uint8)
        self.communicator.Allgather(padded, gathered)
        return [row[:length].tobytes() for row, length in zip(gathered, lengths.tolist(), strict=True)]

    def gather_rows(self, own: Array, starts: Sequence[int]) -> Array:
        """Return the rows of all ranks in their order; rank r has those from ``starts[r]`` to ``starts[r + 1]``."""
        width = int(np.prod(own.shape[1:], dtype=np.int64))
        gathered = np.empty((starts[-1], *own.shape[1:]), dtype=own.dtype)
        counts = [(stop - start) * width for start, stop in pairwise(starts)]
        displacements = [start * width for start in starts[:-1]]
        self.communicator.Allgatherv(np.ascontiguousarray(own), [gathered, (counts, displacements)])
        return gathered

    def raise_everywhere(self, error: Exception) -> NoReturn:
        """Raise an error that every rank has found, so that no report to the others is needed."""
        self._known = error
        raise error

    def _report(self, error: BaseException) -> None:
        """Come to the next meeting of the others with an error of this rank."""
        self._own[0] = _DIVERGED if isinstance(error, DivergenceError) else _FAILED
        self._gather(self._own)
        error.add_note(f"(on rank {self.rank} of {self.size})")
        self._texts(error)

    def _learn(self, rows: list[list[float]]) -> NoReturn:
        """Raise, on a rank that could go on, what another one reports."""
        texts = self._texts(None)
        failed = next(rank for rank, row in enumerate(rows) if row[0] != _WELL)
        text = f"rank {failed} of {self.size}: {texts[failed]}"
        diverged = rows[failed][0] == _DIVERGED
        self.raise_everywhere(DivergenceError(text) if diverged else RankError(text))

    def _texts(self, error: BaseException | None) -> list[str]:
        own = "" if error is None else str(error)
        if error is not None and not isinstance(error, DivergenceError):
            own = f"{type(error).__name__}: {own}" if own else type(error).__name__
        return [text.decode(errors="replace") for text in self.gather_bytes(own.encode())]

    def _out_of_step(self, rows: list[list[float]]) -> NoReturn:
        places = ", ".join(f"rank {rank}: {Place(int(row[1])).name.lower()}" for rank, row in enumerate(rows))
        self.raise_everywhere(
            RankError(
                f"the ranks are at different places of the training ({places}): each has to call step and fit alike"
            )
        )
