"""Memory that all ranks of one machine see: there they exchange rows and gradients without a library in between."""

from __future__ import annotations

import mmap
import os
import zlib

import numpy as np

from relu_layers import _core
from relu_layers._support.configured import Array
from relu_layers._training.communicator import Communicator

# Bytes of a cache line: every part of the memory begins on one.
CACHE_LINE = 64
# Seconds that a rank waits for another on its processor: longer than waking it takes, or once asleep they would stay in
# step only by waking each other. Where ranks share processors, it would keep the others from coming.
_PATIENCE = 100e-6


class SharedMemory:
    """Memory that the ranks of one machine share, and where they wait for each other.

    Attributes
    ----------
    rest : ndarray, uint8
        What no row is in, for other uses.
    awake : bool
        Whether ranks wait for each other on their processors before they sleep.

    Parameters
    ----------
    memory : ndarray, uint8
        The same on all ranks, zeros at first.
    rank, size : int
    numbers : int
        Of each rank's row.
    patience : float
        Seconds that this rank waits on its processor before it sleeps.
    """

    def __init__(self, memory: Array, rank: int, size: int, numbers: int, patience: float) -> None:
        self._rank, self._patience = rank, patience
        self._lines = memory[: size * CACHE_LINE].view(np.uint32).reshape(size, -1)
        rows = _row_bytes(size, numbers)
        begin = size * CACHE_LINE
        # Rows of this meeting and of the next: a rank may write those while others still read these.
        self._rows = [
            memory[begin + turn * rows : begin + turn * rows + size * numbers * 8]
            .view(np.float64)
            .reshape(size, numbers)
            for turn in (0, 1)
        ]
        self._turn = 0
        self.awake = patience > 0
        self.rest = memory[begin + 2 * rows :]

    def gather(self, own: Array) -> Array:
        """Return the rows of all ranks: to be read before the next call."""
        self._turn ^= 1
        rows = self._rows[self._turn]
        rows[self._rank] = own
        _core.meet_processes(self._lines, self._rank, self._patience)
        return rows

    def add_in_order(
        self,
        shared: Array,
        block: int,
        in_parts: bool,
        array: Array,
        earlier: Array | None,
        total: Array | None,
        count: int,
        last: bool,
    ) -> None:
        """Add the arrays of the first ``count`` ranks in their order; every rank calls it, after a `gather`.

        Parameters
        ----------
        shared : ndarray
            Part of `rest`, with ``_core.shared_elements(ranks, block)`` elements of the array's type.
        block : int
            Elements that go through it at a time.
        in_parts : bool
            Whether each rank adds a part of every block, rather than all of it.
        array : ndarray (size,)
            Of this rank; becomes the sum where it is the ``last`` one.
        earlier, total : ndarray (size,) or None
            What the sum begins with, and where it goes where it is not the last: of each rank what it adds.
        """
        where = self._lines, self._rank, self._patience, shared, block, in_parts
        _core.add_in_order(*where, array, earlier, total, count, last)


def share_memory(communicator: Communicator, numbers: int, rest: int) -> SharedMemory | None:
    """Return memory that all ranks share, with ``rest`` bytes beside their rows; None unless all can have it.

    Every rank calls it. Nothing is left behind however the ranks end: the memory has no name in any file system.
    """
    rank, size = communicator.rank, communicator.size
    wanted = size * CACHE_LINE + 2 * _row_bytes(size, numbers) + rest
    # Where rank 0's memory is, and what says that a process finds the same there.
    sent = np.zeros(5, dtype=np.int64)
    file = -1
    if rank == 0:
        file = _new_memory(wanted)
        nonce = int.from_bytes(os.urandom(7), "little")
        sent[:] = _machine(), os.getpid(), file, wanted, nonce
    found: Array | None = None
    try:
        if file >= 0:
            os.pwrite(file, sent[4:].tobytes(), 0)
        communicator.Bcast(sent)
        found = _mapped(sent, wanted, file if rank == 0 else None)
        processors = _processors()
        own = np.array([found is not None, zlib.crc32(repr(processors).encode())], dtype=np.int64)
        rows = np.zeros((size, 2), dtype=np.int64)
        # From here on the memory lives as long as it is mapped.
        communicator.Allgather(own, rows)
    finally:
        if file >= 0:
            os.close(file)
    if found is None or not rows[:, 0].all():
        return None
    if rank == 0:
        found[:8] = 0
    communicator.Allgather(own, rows)
    sharing = int(np.count_nonzero(rows[:, 1] == own[1]))
    return SharedMemory(found, rank, size, numbers, _PATIENCE if sharing <= len(processors) else 0.0)


def _row_bytes(size: int, numbers: int) -> int:
    return -(-size * numbers * 8 // CACHE_LINE) * CACHE_LINE


def _new_memory(wanted: int) -> int:
    """Return a file without a name, of zeros; -1 where there is no such thing, or no memory."""
    if not (_core.processes_can_meet() and hasattr(os, "memfd_create")):
        return -1
    try:
        file = os.memfd_create("relu_layers")
    except OSError:
        return -1
    try:
        os.posix_fallocate(file, 0, wanted)
    except OSError:
        os.close(file)
        return -1
    return file


def _mapped(sent: Array, wanted: int, own: int | None) -> Array | None:
    """Return the memory that rank 0 has sent the place of; None if this process cannot see it."""
    machine, pid, number, there, nonce = sent.tolist()
    if number < 0 or machine != _machine() or there != wanted:
        return None
    try:
        file = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR | os.O_CLOEXEC) if own is None else own
        try:
            memory = np.frombuffer(mmap.mmap(file, wanted), dtype=np.uint8)
        finally:
            if own is None:
                os.close(file)
    except (OSError, ValueError, MemoryError):
        return None
    return memory if int(memory[:8].view(np.int64)[0]) == nonce else None


def _processors() -> list[int]:
    """Return the processors that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _machine() -> int:
    """Return a number for this machine since it was started, and for the processes that can see each other on it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read()
        processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return -1
    return zlib.crc32(f"{boot} {processes}".encode())
