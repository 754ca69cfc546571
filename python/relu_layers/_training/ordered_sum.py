"""The sum of the gradients of several ranks, added in the order of their minibatches."""

from __future__ import annotations

import numpy as np

from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers._training.communicator import Communicator

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
        self.whole = ranks == 2 or (ranks - 1) * gradient.nbytes <= _WORTH_ONE_EXCHANGE
        part = size if self.whole else -(-size // ranks)
        self._received = empty((ranks, part), dtype)
        self._total = empty((part,), dtype)
        self._begun = False
        if self.whole:
            return
        self._padded = empty((ranks * part,), dtype)
        self._padded[size:] = 0
        self._own = slice(communicator.rank * part, (communicator.rank + 1) * part)

    def begin(self, earlier: Array | None = None) -> None:
        """Start a new sum: from the sum over minibatches before, a whole gradient, where there are such."""
        self._begun = earlier is not None
        if earlier is None:
            return
        if self.whole:
            np.copyto(self._total, earlier)
        else:
            self._padded[: earlier.size] = earlier
            np.copyto(self._total, self._padded[self._own])

    def add(self, count: int, last: bool) -> None:
        """Add the gradients of the first ``count`` ranks; every rank takes part.

        The ``last`` call puts the sum where the gradient is.
        """
        if self.whole:
            self._communicator.Allgather(self._gradient, self._received)
            self._add_received(count, self._gradient if last else self._total)
            return
        size, padded = self._gradient.size, self._padded
        padded[:size] = self._gradient
        self._communicator.Alltoall(padded, self._received)
        self._add_received(count, self._total)
        if last:
            self._communicator.Allgather(self._total, padded)
            np.copyto(self._gradient, padded[:size])

    def _add_received(self, count: int, out: Array) -> None:
        rows = [*([self._total] if self._begun else []), *self._received[:count]]
        self._begun = True
        if len(rows) == 1:
            np.copyto(out, rows[0])
            return
        # Overflow shows in what comes of it, as it does in a single process.
        with np.errstate(all="ignore"):
            np.add(rows[0], rows[1], out=out)
            for row in rows[2:]:
                np.add(out, row, out=out)


def part_starts(rows: int, parts: int) -> list[int]:
    """Return where each of the parts of ``rows`` rows begins, and the end: parts that differ by one row at most."""
    return [rows * part // parts for part in range(parts + 1)]
