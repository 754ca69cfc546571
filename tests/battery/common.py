"""What the parts of the battery share: two sizes, the figure line, child processes, shims of the C library.

A part is a program: ``python tests/battery/kills.py [--long] [--seed N]``. It prints one figure line, its
faults on standard error, and ends with 0 (no fault), 1 (faults) or 77 (cannot run here; the line says why).
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

SKIPPED = 77
_SHOWN = 12
_HERE = Path(__file__).parent
T = TypeVar("T")


class Part:
    """One part of the battery: its size, its random numbers, what it counted and what it found.

    Parameters
    ----------
    name : str
        The beginning of the figure line.
    """

    def __init__(self, name: str) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--long", action="store_true", help="the long form")
        parser.add_argument("--seed", type=int, default=0, help="of everything random")
        parser.add_argument("--all", action="store_true", help="print every fault, not only the first ones")
        parser.add_argument("--keep", action="store_true", help="add what is found to the corpus")
        given = parser.parse_args()
        self.name, self.long, self.seed = name, given.long, given.seed
        self.keep = given.keep
        self._shown = None if given.all else _SHOWN
        self.random = random.Random(f"{name} {given.seed}")
        self.figures: Counter[str] = Counter()
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="battery-", dir=_memory_folder()))

    def size(self, short: T, long: T) -> T:
        """Return the number that this run's form asks for."""
        return long if self.long else short

    def count(self, what: str, number: int = 1) -> None:
        """Add ``number`` to a figure; figures appear in the order in which they were first counted."""
        self.figures[what] += number

    def check(self, good: bool, fault: str, *, figure: str = "wrong") -> bool:
        """Count a fault of the kind ``figure`` and keep its text unless ``good``; return ``good``."""
        self.figures[figure] += not good
        if not good:
            self.faults.append(fault)
        return good

    def finish(self) -> NoReturn:
        """Print the figure line and the faults, and end the process."""
        shutil.rmtree(self.folder, ignore_errors=True)
        figures = ", ".join([f"{number} {what}" for what, number in self.figures.items()] + self.remarks)
        print(f"{self.name}: {figures}", flush=True)
        for fault, number in list(Counter(self.faults).items())[: self._shown]:
            print(f"{number} x {fault}" if number > 1 else fault, file=sys.stderr)
        sys.exit(bool(self.faults))

    def skip(self, reason: str) -> NoReturn:
        """End the process as one that cannot run here."""
        shutil.rmtree(self.folder, ignore_errors=True)
        print(f"{self.name}: not run, {reason}", flush=True)
        sys.exit(SKIPPED)


def _memory_folder() -> str | None:
    """Return a folder in memory where there is one: thousands of files that nobody keeps."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Ended:
    """How a child ended: its exit code, negative for a signal, and what it wrote to its pipe."""

    code: int
    said: bytes


class Child:
    """A forked child that runs ``work(pipe)`` and ends with 0, or 1 after an exception, whose text is what it says.

    Parameters
    ----------
    work : callable
        Takes the writing end of a pipe.
    seconds : int
        After so long the child hangs: an alarm ends it.
    """

    def __init__(self, work: Callable[[int], object], seconds: int = 60) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._reading)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(seconds)
                work(writing)
                code = 0
            except BaseException as error:
                os.write(writing, f"{type(error).__name__}: {error}".encode()[:2000])
            finally:
                os._exit(code)
        os.close(writing)

    def read(self, count: int) -> bytes:
        """Return the next bytes that the child says; none if it has ended."""
        return os.read(self._reading, count)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self) -> Ended:
        """Wait for the end; return it with all that was not yet read."""
        said = bytearray()
        while part := os.read(self._reading, 1 << 16):
            said += part
        os.close(self._reading)
        return Ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), bytes(said))


def in_child(work: Callable[[], object], seconds: int = 60) -> Ended:
    """Return how a forked child that calls ``work`` ended; what ``work`` returns as bytes is what it says."""

    def say(pipe: int) -> None:
        result = work()
        if isinstance(result, bytes):
            view = memoryview(result)
            while view:
                view = view[os.write(pipe, view) :]

    return Child(say, seconds).end()


def fresh(code: str, *arguments: str, seconds: int = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a new interpreter and return how that went; a hang is a TimeoutExpired."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **options)


def shim(part: Part, name: str) -> ctypes.PyDLL:
    """Return the library of ``shims/name.c``, compiled if need be; a part without compiler is skipped."""
    return ctypes.PyDLL(os.fspath(_built(part, name)))


def preloaded(part: Part, name: str, **environment: str) -> ctypes.PyDLL:
    """Return the library of ``shims/name.c`` with its functions before those of the C library in this process.

    The process replaces itself by one that preloads the library, after those that it has already: a sanitizer's
    must come first.
    """
    library = os.fspath(_built(part, name))
    loaded = os.environ.get("LD_PRELOAD", "").split()
    if library not in loaded:
        shutil.rmtree(part.folder, ignore_errors=True)
        changed = {"LD_PRELOAD": " ".join([*loaded, library]), **environment}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **changed})
    return ctypes.PyDLL(library)


def _built(part: Part, name: str) -> Path:
    if not sys.platform.startswith("linux"):
        part.skip("needs LD_PRELOAD")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        part.skip("needs a C compiler")
    source = _HERE / "shims" / f"{name}.c"
    mark = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"relu-layers-battery-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}-{mark}.so"
    if not library.exists():
        new = library.with_suffix(f".{os.getpid()}")
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-fexceptions"]
        subprocess.run([compiler, *flags, "-o", new, source, "-ldl", "-pthread"], check=True)
        new.replace(library)
    return library


@contextmanager
def muted() -> Iterator[None]:
    """Standard error goes nowhere, for children that are expected to complain."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def bytes_of(tree: Any) -> bytes:
    """Return arrays and numbers, however nested, as bytes that are equal only when every bit is."""
    if isinstance(tree, dict):
        return b"".join(str(key).encode() + b"=" + bytes_of(tree[key]) + b";" for key in sorted(tree))
    if isinstance(tree, (list, tuple)):
        return b"[" + b",".join(map(bytes_of, tree)) + b"]"
    return bytes(tree.tobytes()) if hasattr(tree, "tobytes") else repr(tree).encode()


def progress_of(trainer: Any) -> bytes:
    """Return all that a trainer has learned, as bytes: parameters, optimizer, steps, history."""
    return bytes_of(
        [
            trainer.model.flat_params,
            trainer.optimizer.state_dict(),
            trainer.steps,
            trainer.history.columns(),
        ]
    )


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Return whether ``true`` became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.001)
    return False
