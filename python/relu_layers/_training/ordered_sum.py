"""The sum of the gradients of several ranks, added in the order of their minibatches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relu_layers._support.arrays import empty, zeros
from relu_layers._support.configured import Array
from relu_layers._training.communicator import Communicator
from relu_layers._training.shared_memory import CACHE_LINE, SharedMemory

# Bytes that a rank may receive to save the second of two exchanges. Two ranks receive as much either way.
_WORTH_ONE_EXCHANGE = 2**20


class OrderedSum:
    """Adds one gradient of each rank after another to a running sum, in the order of the ranks.

    That is the order of the minibatches, so the sum has the bits that one process gets that adds gradient after
    gradient. A library's own Allreduce adds in an order of its own, which depends on the number of ranks.

    Each rank owns a part of the sum, adds what it gets of the gradients of all, and the sums of the parts go to all.
    Where gradients are small or the ranks are two, each rank gets them whole and adds everything itself, in one
    exchange instead of two.

    Parameters
    ----------
    communicator : Communicator
    gradient : ndarray (size,)
        Where the own gradient is when it is added, and the whole sum when the last one is.
    """

    def __init__(self, communicator: Communicator, gradient: Array) -> None:
        ranks, size = communicator.size, gradient.size
        self._communicator, self._gradient = communicator, gradient
        self._whole = added_whole(ranks, gradient)
        # All parts have the same size, the last ones filled up with zeros.
        self._part = size if self._whole else -(-size // ranks)
        begin = 0 if self._whole else communicator.rank * self._part
        self._own = slice(min(begin, size), min(begin + self._part, size))
        self._total = zeros((self._part,), gradient.dtype)
        self._begun = False

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum: from the sum over minibatches before, a whole gradient, where there are such."""
        self._begun = earlier is not None
        if earlier is not None:
            own = earlier[self._own]
            np.copyto(self._total[: own.size], own)

    def offer(self) -> None:
        """Get the own gradient ready, before the ranks meet."""

    def add(self, count: int, last: bool) -> None:
        """Add the gradients of the first ``count`` ranks, which have just met; every rank takes part.

        The ``last`` call puts the sum where the gradient is.
        """
        raise NotImplementedError

    def _add_rows(self, received: Sequence[Array] | Array, out: Array) -> None:
        """Add rows to the sum so far, and put the new one into ``out``."""
        rows = [self._total[: out.size], *received] if self._begun else list(received)
        self._begun = True
        if len(rows) == 1:
            np.copyto(out, rows[0])
            return
        # Overflow shows in what comes of it, as it does in a single process.
        with np.errstate(all="ignore"):
            np.add(rows[0], rows[1], out=out)
            for row in rows[2:]:
                np.add(out, row, out=out)


class SentSum(OrderedSum):
    """The sum of gradients that a library carries from rank to rank.

    Parts have the same size because the variants for unequal parts take twice as long (MPICH 5.0, shared memory).
    """

    def __init__(self, communicator: Communicator, gradient: Array) -> None:
        super().__init__(communicator, gradient)
        self._received = empty((communicator.size, self._part), gradient.dtype)
        if not self._whole:
            self._padded = zeros((communicator.size * self._part,), gradient.dtype)

    def add(self, count: int, last: bool) -> None:
        """Send, and add the gradients of the first ``count`` ranks."""
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


class SharedSum(OrderedSum):
    """The sum of gradients that ranks of one machine put into memory that they share, before they meet.

    What is added whole has two places for each gradient: ranks may write the next ones while others still read
    these. What is added in parts has one, since the ranks meet once more between the parts and their sums.

    Parameters
    ----------
    communicator, gradient
    memory : SharedMemory
        With `shared_bytes` bytes beside its rows.
    """

    def __init__(self, communicator: Communicator, gradient: Array, memory: SharedMemory) -> None:
        super().__init__(communicator, gradient)
        ranks, size, self._memory = communicator.size, gradient.size, memory
        places = memory.rest[: shared_bytes(ranks, gradient)].view(gradient.dtype)
        places = places.reshape(-1, _row_length(gradient))[:, :size]
        turns = [places[:ranks], places[ranks:]] if self._whole else [places[:ranks]]
        self._written = [turn[communicator.rank] for turn in turns]
        self._read = [[row[self._own] for row in turn] for turn in turns]
        self._turn = 0
        self._sums = places[-1]

    def offer(self) -> None:
        """Put the own gradient where all ranks read it."""
        # A rank that fails offers nothing, but meets the others: those count alike on all ranks.
        self._turn = self._memory.turn % len(self._written)
        np.copyto(self._written[self._turn], self._gradient)

    def add(self, count: int, last: bool) -> None:
        """Add the gradients of the first ``count`` ranks."""
        received = self._read[self._turn][:count]
        rank = self._communicator.rank
        # The own gradient is nearer where it came from, unless the first addition overwrites it.
        if rank < count and (not self._whole or rank == 0 or (rank == 1 and not self._begun)):
            received[rank] = self._gradient[self._own]
        if self._whole:
            self._add_rows(received, self._gradient if last else self._total)
            return
        own = self._total[: self._own.stop - self._own.start]
        self._add_rows(received, self._sums[self._own] if last else own)
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
