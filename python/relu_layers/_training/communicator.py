"""What training on several ranks asks of a communicator: a few buffer methods that one of mpi4py has itself."""

from __future__ import annotations

from typing import Any, Protocol

from relu_layers._support.configured import Array


class Communicator(Protocol):
    """Processes ("ranks") that reach each other. A communicator of mpi4py is one as it is.

    Every method is called by all ranks, in the same order, and returns when the own part is done. Arrays are
    contiguous; a row of ``recvbuf``, or a part of ``sendbuf``, is one of ``size`` equal stretches of its memory.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    """

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def Allgather(self, sendbuf: Array, recvbuf: Array) -> None:  # noqa: N802
        """Fill row r of ``recvbuf`` with rank r's ``sendbuf``, on every rank."""

    def Allgatherv(self, sendbuf: Array, recvbuf: list[Any]) -> None:  # noqa: N802
        """Do the same for stretches of unequal size: ``recvbuf`` is ``[array, (counts, displacements)]``."""

    def Alltoall(self, sendbuf: Array, recvbuf: Array) -> None:  # noqa: N802
        """Fill row r of ``recvbuf`` with the part of rank r's ``sendbuf`` that has this rank's number."""

    def Bcast(self, buf: Array, root: int = 0) -> None:  # noqa: N802
        """Fill ``buf`` with that of rank ``root``."""


_METHODS = ("Allgather", "Allgatherv", "Alltoall", "Bcast")


def check_communicator(owner: str, value: Any) -> Any:
    """Return ``value``, a communicator or None.

    Raises
    ------
    TypeError
        It does not have what `Communicator` says.
    ValueError
        It joins no processes.
    """
    if value is None:
        return None
    expected = "expected an mpi4py communicator, such as relu_layers.distributed.world() returns"
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in _METHODS):
        raise TypeError(f"{owner}: communicator is {value!r}, {expected}")
    try:
        rank, size = value.rank, value.size
    except Exception as error:
        # MPI's own exception for a communicator that is null or freed; its class is not known here.
        raise ValueError(f"{owner}: communicator is {value!r}, which has no ranks; {expected}") from error
    if getattr(value, "is_inter", False) or not 0 <= rank < size:
        raise ValueError(
            f"{owner}: communicator is {value!r}, rank {rank} of {size}; expected one whose ranks all train"
        )
    return value
