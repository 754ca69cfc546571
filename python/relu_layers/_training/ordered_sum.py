"""The sum of the gradients of several ranks, added in the order of their minibatches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers._training.communicator import Communicator
from relu_layers._training.shared_memory import CACHE_LINE, SharedMemory

# Bytes that a rank may receive to save the second of two exchanges. Two ranks receive as much either way.
_WORTH_ONE_EXCHANGE = 2**20


class OrderedSum:
    """Adds one gradient of each rank after another to a running sum, in the order of the ranks.

    That is the order of the minibatches, so the sum has the bits that one process gets that adds gradient after
    gradient. A library's own Allreduce adds in an order of its own, which depends on the number of ranks.

    Each rank sends the parts of its gradient to their owners, each owner adds what it gets, and the sums of the parts
    go to all. Where gradients are small or the ranks are two, each rank gets them whole and adds everything itself,
    in one exchange instead of two. All parts have the same size, the last one filled up with zeros: the variants
    for unequal parts take twice as long (MPICH 5.0, shared memory).

    Parameters
    ----------
    communicator : Communicator
    gradient : ndarray (size,)
        Where the own gradient is when it is added, and the whole sum when the last one is.
    """

    def __init__(self, communicator: Communicator, gradient: Array) -> None:
        ranks, size, dtype = communicator.size, gradient.size, gradient.dtype
        self._communicator, self._gradient = communicator, gradient
        self._whole = added_whole(ranks, gradient)
        part = size if self._whole else -(-size // ranks)
        self._received = empty((ranks, part), dtype)
        self._total = empty((part,), dtype)
        self._begun = False
        if self._whole:
            return
        self._padded = empty((ranks * part,), dtype)
        self._padded[size:] = 0
        self._own = slice(communicator.rank * part, (communicator.rank + 1) * part)

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum: from the sum over minibatches before, a whole gradient, where there are such."""
        self._begun = earlier is not None
        if earlier is None:
            return
        if self._whole:
            np.copyto(self._total, earlier)
        else:
            self._padded[: earlier.size] = earlier
            np.copyto(self._total, self._padded[self._own])

    def offer(self) -> None:
        """Get the own gradient ready, before the ranks meet."""

    def add(self, count: int, last: bool) -> None:
        """Add the gradients of the first ``count`` ranks; every rank takes part.

        The ``last`` call puts the sum where the gradient is.
        """
        if self._whole:
            self._communicator.Allgather(self._gradient, self._received)
            self._add_rows(self._received[:count], self._gradient if last else self._total)
            return
        size, padded = self._gradient.size, self._padded
        padded[:size] = self._gradient
        self._communicator.Alltoall(padded, self._received)
        self._add_rows(self._received[:count], self._total)
        if last:
            self._communicator.Allgather(self._total, padded)
            np.copyto(self._gradient, padded[:size])

    def _add_rows(self, received: Sequence[Array] | Array, out: Array) -> None:
        """Add rows to the sum so far, and put the new one into ``out``."""
        rows = [self._total, *received] if self._begun else list(received)
        self._begun = True
        if len(rows) == 1:
            np.copyto(out, rows[0])
            return
        # Overflow shows in what comes of it, as it does in a single process.
        with np.errstate(all="ignore"):
            np.add(rows[0], rows[1], out=out)
            for row in rows[2:]:
                np.add(out, row, out=out)


class SharedSum(OrderedSum):
    """The same sum of ranks that share memory: each puts its gradient there before they meet.

    What is added whole has two places for each gradient: ranks may write the next ones while others still read
    these. What is added in parts has one, since the ranks meet once more between the parts and their sums.

    Parameters
    ----------
    communicator : Communicator
    gradient : ndarray (size,)
    memory : SharedMemory
        With `shared_bytes` bytes beside its rows.
    """

    def __init__(self, communicator: Communicator, gradient: Array, memory: SharedMemory) -> None:
        ranks, self._memory, self._communicator, self._gradient = (
            communicator.size,
            memory,
            communicator,
            gradient,
        )
        self._whole, self._begun = added_whole(ranks, gradient), False
        row = _row_length(gradient)
        places = memory.rest[: shared_bytes(ranks, gradient)].view(gradient.dtype).reshape(-1, row)
        part = gradient.size if self._whole else -(-gradient.size // ranks)
        first = 0 if self._whole else communicator.rank * part
        own = slice(first, min(first + part, gradient.size))
        turns = [places[:ranks], places[ranks:]] if self._whole else [places[:ranks]]
        self._written = [turn[communicator.rank, : gradient.size] for turn in turns]
        self._read = [[row[own] for row in turn] for turn in turns]
        self._turn = 0
        self._own, self._total = own, empty((own.stop - own.start,), gradient.dtype)
        self._sums = places[-1, : gradient.size]

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum."""
        self._begun = earlier is not None
        if earlier is not None:
            np.copyto(self._total, earlier[self._own])

    def offer(self) -> None:
        """Put the own gradient where all ranks read it."""
        # A rank that fails offers nothing, but meets the others: those count alike on all ranks.
        self._turn = self._memory.turn % len(self._written)
        np.copyto(self._written[self._turn], self._gradient)

    def add(self, count: int, last: bool) -> None:
        """Add the gradients of the first ``count`` ranks."""
        received = self._read[self._turn][:count]
        if self._whole:
            self._add_rows(received, self._gradient if last else self._total)
            return
        self._add_rows(received, self._sums[self._own] if last else self._total)
        self._memory.meet()
        if last:
            np.copyto(self._gradient, self._sums)


def added_whole(ranks: int, gradient: Array) -> bool:
    """Return whether each rank adds whole gradients, rather than a part of each."""
    return ranks == 2 or (ranks - 1) * gradient.nbytes <= _WORTH_ONE_EXCHANGE


def shared_bytes(ranks: int, gradient: Array) -> int:
    """Return how much memory a `SharedSum` needs."""
    places = 2 * ranks if added_whole(ranks, gradient) else ranks + 1
    return places * _row_length(gradient) * gradient.itemsize


def _row_length(gradient: Array) -> int:
    """Return the elements of a gradient's place, which ends with a cache line."""
    line = CACHE_LINE // gradient.itemsize
    return -(-gradient.size // line) * line


def part_starts(rows: int, parts: int) -> list[int]:
    """Return where each of the parts of ``rows`` rows begins, and the end: parts that differ by one row at most."""
    return [rows * part // parts for part in range(parts + 1)]
