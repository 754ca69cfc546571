"""The communicator of all processes that a launcher started, from mpi4py."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

from relu_layers import runtime
from relu_layers._support.extras import how_to_install
from relu_layers.distributed._launcher import launched


def world() -> Any:
    """Return mpi4py's ``COMM_WORLD``: all processes that ``mpiexec`` or ``srun`` started together.

    Of one process, started without a launcher, it is a communicator of one rank: the training is the usual one.

    From this call on an exception that no one catches in one rank ends all of them: the others would wait for it
    for ever. And where several ranks may use the same processors, each of them uses its share as threads,
    unless ``RELU_LAYERS_NUM_THREADS`` or ``OMP_NUM_THREADS`` says otherwise.

    Raises
    ------
    ImportError
        There is no mpi4py, or no MPI library that it could load; the message says what to install.
    RuntimeError
        The launcher started several processes, but MPI knows of one: it is the launcher of another MPI.
    """
    mpi = _mpi()
    communicator = mpi.COMM_WORLD
    launch = launched()
    if launch is not None and communicator.size != launch.size:
        library = mpi.Get_library_version().split("\n")[0].split(",")[0].strip(" \0")
        raise RuntimeError(
            f"{launch.launcher} started {launch.size} processes, but the MPI that mpi4py uses, {library}, "
            f"knows of {communicator.size}: use the launcher of that MPI, or build mpi4py with the other one"
        )
    if communicator.size > 1:
        _end_all_on_error(communicator)
        _share_processors(mpi, communicator)
    return communicator


def _how_to_install_mpi() -> str:
    return f"{how_to_install('mpi')} uses the MPI of this machine, the extra mpi-local brings one along"


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        # mpi4py without an MPI library is a RuntimeError.
        launch = launched()
        began = "" if launch is None else f"{launch.launcher} started {launch.size} processes, but "
        raise ImportError(
            f"{began}training on several processes needs mpi4py and an MPI library ({error}): {_how_to_install_mpi()}"
        ) from error
    return MPI


def _end_all_on_error(communicator: Any) -> None:
    """Make an uncaught exception end the job: one rank that leaves lets the others wait."""
    former = sys.excepthook
    if getattr(former, "ends_all_ranks", False):
        return

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        former(kind, error, trace)
        _wait_for_launcher()
        communicator.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

    end.ends_all_ranks = True  # type: ignore[attr-defined]
    sys.excepthook = end


def _wait_for_launcher() -> None:
    """Wait until the launcher has read what this rank printed, two seconds at most: an abort closes its pipes."""
    end = time.monotonic() + 2.0
    for stream in (sys.stderr, sys.stdout):
        try:
            import fcntl
            import termios

            stream.flush()
            while time.monotonic() < end:
                unread = fcntl.ioctl(stream.fileno(), termios.FIONREAD, b"\0" * 4)
                if not int.from_bytes(unread, sys.byteorder):
                    break
                time.sleep(0.005)
        except (ImportError, OSError, ValueError, AttributeError):
            continue  # no pipe, or closed, or none at all
    time.sleep(0.05)


def _share_processors(mpi: Any, communicator: Any) -> None:
    """Give each rank its share of the processors that ranks of this machine may use in common."""
    if {"RELU_LAYERS_NUM_THREADS", "OMP_NUM_THREADS"} & os.environ.keys():
        return
    neighbours = communicator.Split_type(mpi.COMM_TYPE_SHARED)
    try:
        mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        sharing = sum(other == mine for other in neighbours.allgather(mine))
    finally:
        neighbours.Free()
    runtime.set_num_threads(max(runtime.get_num_threads() // sharing, 1))
