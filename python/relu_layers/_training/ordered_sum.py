"""The sum of the gradients of several ranks, added in the order of their minibatches."""

from __future__ import annotations

import numpy as np

from relu_layers import _core
from relu_layers._support.arrays import empty, zeros
from relu_layers._support.configured import Array
from relu_layers._training.communicator import Communicator
from relu_layers._training.shared_memory import CACHE_LINE, SharedMemory

# Bytes that a rank may receive to save the second of two exchanges. Two ranks receive as much either way.
_WORTH_ONE_EXCHANGE = 2**20
# Bytes of a gradient that go through shared memory at a time: few enough for a second-level cache. Where ranks
# wait asleep, each meeting takes longer than that saves.
_BLOCK, _BLOCK_ASLEEP = 2**18, 2**20


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
        self._communicator, self._gradient = communicator, gradient
        self._whole = added_whole(communicator.size, gradient)

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum: from the sum over minibatches before, a whole gradient, where there are such."""
        raise NotImplementedError

    def add(self, count: int, last: bool) -> None:
        """Add the gradients of the first ``count`` ranks, which have just met; every rank takes part.

        The ``last`` call puts the sum where the gradient is.
        """
        raise NotImplementedError


class SentSum(OrderedSum):
    """The sum of gradients that a library carries from rank to rank.

    Parts have the same size because the variants for unequal parts take twice as long (MPICH 5.0, shared memory).
    """

    def __init__(self, communicator: Communicator, gradient: Array) -> None:
        super().__init__(communicator, gradient)
        ranks, size = communicator.size, gradient.size
        # All parts have the same size, the last ones filled up with zeros.
        part = size if self._whole else -(-size // ranks)
        begin = 0 if self._whole else communicator.rank * part
        self._own = slice(min(begin, size), min(begin + part, size))
        self._total = zeros((part,), gradient.dtype)
        self._begun = False
        self._received = empty((ranks, part), gradient.dtype)
        if not self._whole:
            self._padded = zeros((ranks * part,), gradient.dtype)

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum."""
        self._begun = earlier is not None
        if earlier is not None:
            own = earlier[self._own]
            np.copyto(self._total[: own.size], own)

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

    def _add_rows(self, received: Array, out: Array) -> None:
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
    """The sum of gradients of the ranks of one machine, which exchange them block by block in shared memory.

    Parameters
    ----------
    communicator, gradient
    memory : SharedMemory
        With `shared_bytes` bytes beside its rows.
    """

    def __init__(self, communicator: Communicator, gradient: Array, memory: SharedMemory) -> None:
        super().__init__(communicator, gradient)
        self._memory = memory
        wanted = _BLOCK if memory.awake else _BLOCK_ASLEEP
        block = min(wanted // gradient.itemsize, _row_length(gradient))
        places = memory.rest[: _core.shared_elements(communicator.size, block) * gradient.itemsize]
        self._exchange = places.view(gradient.dtype), block, not self._whole, gradient
        # The sum so far where the group goes on: of each rank what it adds.
        self._earlier: Array | None = None
        self._total: Array | None = None

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum."""
        self._earlier = earlier

    def add(self, count: int, last: bool) -> None:
        """Exchange and add the gradients of the first ``count`` ranks."""
        if not last and self._total is None:
            self._total = zeros(self._gradient.shape, self._gradient.dtype)
        self._memory.add_in_order(*self._exchange, self._earlier, self._total, count, last)
        self._earlier = self._total


def added_whole(ranks: int, gradient: Array) -> bool:
    """Return whether each rank adds whole gradients, rather than a part of each."""
    return ranks == 2 or (ranks - 1) * gradient.nbytes <= _WORTH_ONE_EXCHANGE


def shared_bytes(ranks: int, gradient: Array) -> int:
    """Return how much memory a `SharedSum` may need."""
    block = min(_BLOCK_ASLEEP // gradient.itemsize, _row_length(gradient))
    return _core.shared_elements(ranks, block) * gradient.itemsize


def _row_length(gradient: Array) -> int:
    """Return the elements of a gradient's row, which ends with a cache line."""
    line = CACHE_LINE // gradient.itemsize
    return -(-gradient.size // line) * line


def part_starts(rows: int, parts: int) -> list[int]:
    """Return where each of the parts of ``rows`` rows begins, and the end: parts that differ by one row at most."""
    return [rows * part // parts for part in range(parts + 1)]
