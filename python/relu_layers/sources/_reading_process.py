"""A process beside this one that reads files first whose readers may end the process that they run in, or never end.

It is started when first needed, reads one file after another, ends by itself when it was idle for a while or this
process has ended, and is replaced when a file was the end of it.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from relu_layers._files.damage import is_of_the_machine

_IDLE_SECONDS = 20.0
# Address space that it may have beyond what it started with: for its threads, its blocks, and for what a file may
# unpack to at once.
_ADDRESSES = 4 * 2**30
_ADDRESSES_PER_BYTE = 64
# Processor time that it may take over a file: far more than any needs, so that one whose reader runs in a circle ends.
_SECONDS = 10
_BYTES_PER_SECOND = 2**20
_BEGUN, _RIGHT, _WRONG = b"b", b"r", b"w"
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from relu_layers.sources._reading_process import serve; serve(sys.argv[2])"
)
_lock = threading.Lock()
_readers: dict[tuple[int, str], subprocess.Popen[bytes]] = {}
# Files that were read whole, as they were then.
_checked: dict[tuple[Any, ...], None] = {}
_MOST_REMEMBERED = 64


def failure_of_reading(place: str, path: Path, **job: Any) -> str | None:
    """Let another process read a file, unless it did so already, and return how that fails.

    Parameters
    ----------
    place : str
        ``"module:function"``, called with ``job`` and the path, which is absolute there.
    path : Path
        Of a file that exists.
    job : dict
        Of JSON values.

    Returns
    -------
    str or None
        The reason, which names the file by ``path`` if at all; None if all went well.
    """
    status = os.stat(path)
    key = (place, str(path), status.st_ino, status.st_size, status.st_mtime_ns, json.dumps(job))
    if key in _checked:
        return None
    absolute = path.absolute()
    encoded = os.fsencode(absolute).hex()
    failure = read_in_other_process(place, {**job, "path": encoded, "bytes": status.st_size})
    if failure is not None:
        return failure.replace(str(absolute), str(path), 1)
    while len(_checked) >= _MOST_REMEMBERED:
        del _checked[next(iter(_checked))]
    _checked[key] = None
    return None


def path_of(job: dict[str, Any]) -> Path:
    """Return the path in a job of `failure_of_reading`."""
    return Path(os.fsdecode(bytes.fromhex(job["path"])))


def read_in_other_process(place: str, job: dict[str, Any]) -> str | None:
    """Let another process call a function that reads a file, and return how it ends.

    Parameters
    ----------
    place : str
        ``"module:function"``, called with ``job``; what it is to say is a ValueError.
    job : dict
        Of JSON values; ``"bytes"`` is the length of the file.

    Returns
    -------
    str or None
        The message of the ValueError, or how the process ended; None if all went well, or if there is no
        interpreter to start (within a program that has Python inside).
    """
    if not sys.executable:
        return None
    seconds = _SECONDS + job["bytes"] // _BYTES_PER_SECOND
    line = json.dumps([job, seconds]).encode() + b"\n"
    with _lock:
        try:
            for _ in range(2):
                reader = _reader(place)
                assert reader.stdin is not None
                assert reader.stdout is not None
                with suppress(OSError):
                    reader.stdin.write(line)
                    reader.stdin.flush()
                if reader.stdout.read(1) == _BEGUN:
                    break
                _end(place)  # it has just ended, being idle
            else:
                raise OSError("another process that reads files cannot be started")
            answer = reader.stdout.readline()
        except BaseException:
            _end(place)
            raise
        if answer[:1] == _RIGHT:
            return None
        if answer[:1] == _WRONG:
            return str(json.loads(answer[1:]))
        code = _end(place)
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"the library that reads it takes more than {seconds} seconds of processor time"
        return f"the library that reads it fails (exit code {code})"


def serve(place: str) -> None:
    """Read the files of the jobs that come, each a line; the whole of the other process."""
    from importlib import import_module

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the process that waits
    module, name = place.split(":")
    read = getattr(import_module(module), name)
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # panics print
        os.dup2(null, descriptor)
    start = _addresses()
    while True:
        idle = threading.Timer(_IDLE_SECONDS, os._exit, (0,))
        idle.daemon = True
        idle.start()
        line = sys.stdin.buffer.readline()
        idle.cancel()
        if not line:
            os._exit(0)
        answers.write(_BEGUN)
        answers.flush()
        job, seconds = json.loads(line)
        _limit(start + _ADDRESSES + _ADDRESSES_PER_BYTE * job["bytes"], seconds)
        answers.write(_answer(read, job) + b"\n")
        answers.flush()


def _answer(read: Callable[[Any], object], job: dict[str, Any]) -> bytes:
    try:
        read(job)
    except ValueError as error:
        return _WRONG + json.dumps(str(error)).encode()
    except BaseException as error:
        if is_of_the_machine(error):  # the process that asks meets it itself
            return _RIGHT
        return _WRONG + json.dumps(f"{type(error).__name__}: {error}").encode()
    return _RIGHT


def _addresses() -> int:
    """Return the address space of this process in bytes, 0 where that is not known."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _limit(addresses: int, seconds: int) -> None:
    """Give this process no more address space and time, so that a file cannot take the memory of the machine."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _lower(resource.RLIMIT_AS, addresses)
        _lower(resource.RLIMIT_CPU, int(time.process_time()) + 1 + seconds)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lower(resource_kind: int, most: int) -> None:
    import resource

    hard = resource.getrlimit(resource_kind)[1]
    resource.setrlimit(resource_kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _reader(place: str) -> subprocess.Popen[bytes]:
    """Return the process that reads, started if there is none; one from before a fork is not this process's."""
    key = os.getpid(), place
    if key not in _readers:
        _readers[key] = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    return _readers[key]


def _end(place: str) -> int:
    """End the process that reads and return its exit code."""
    reader = _readers.pop((os.getpid(), place), None)
    if reader is None:
        return 0
    for pipe in (reader.stdin, reader.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        return reader.wait(1.0)
    except subprocess.TimeoutExpired:
        reader.kill()
        return reader.wait()


def _end_all() -> None:
    for process, place in list(_readers):
        if process == os.getpid():
            _end(place)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
