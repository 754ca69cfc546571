"""The workers: one process per opponent, started with the number of threads in its environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from relu_layers.bench import protocol
from relu_layers.bench.opponents import OPPONENTS

Array = np.ndarray[Any, np.dtype[Any]]

# Every way in which one of the libraries, or the BLAS below it, reads its number of threads at start.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RELU_LAYERS_NUM_THREADS",
    "NPROC",  # the number of processors for XLA
)


class WorkerError(Exception):
    """A worker could not serve a request; the message gives the reason."""


class UnsupportedCaseError(WorkerError):
    """The opponent has no equivalent of the case."""


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: this one's, with the number of threads for every library."""
    count = str(threads)
    result = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, count)}
    if threads == 1:
        result["XLA_FLAGS"] = f"{result.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    # A worker finds the same package, however this process found it, and no library's greeting is wanted.
    package = str(Path(__file__).resolve().parents[2])
    result["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    result["JAX_PLATFORMS"] = "cpu"
    return result


class Member:
    """One worker process. Every method raises `WorkerError` with the reason."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.title = name, OPPONENTS[name].title
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "relu_layers.bench.worker", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(threads),
        )

    @property
    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def wait_until_ready(self) -> dict[str, str]:
        """Return the versions it reports, once its library is imported."""
        self._receive()
        versions: dict[str, str] = self.ask({"do": "describe"})[0]["versions"]
        return versions

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[Array]]:
        """Return the answer to a request."""
        assert self._process.stdin is not None
        try:
            protocol.send(self._process.stdin, request)
        except OSError:
            raise WorkerError(self._last_words()) from None
        return self._receive()

    def _receive(self) -> tuple[dict[str, Any], list[Array]]:
        assert self._process.stdout is not None
        try:
            fields, arrays = protocol.receive(self._process.stdout)
        except (EOFError, ValueError):
            raise WorkerError(self._last_words()) from None
        if "failed" in fields:
            raise WorkerError(fields["failed"])
        if "unsupported" in fields:
            raise UnsupportedCaseError(fields["unsupported"])
        return fields, arrays

    def _last_words(self) -> str:
        """Return how the process ended and the last line it wrote."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with code {code}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue


class Crew:
    """The workers of a run, started together and ended together.

    Attributes
    ----------
    members : dict of str to Member
        Those that are alive.
    versions : dict of str to dict
        What each reported.
    absent : dict of str to str
        Why the others are not.
    """

    def __init__(self, names: Sequence[str], threads: int) -> None:
        self.members: dict[str, Member] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.absent: dict[str, str] = {}
        try:
            for name in names:
                missing = OPPONENTS[name].missing()
                if missing:
                    self.absent[name] = missing
                else:
                    self.members[name] = Member(name, threads)
            for name, member in list(self.members.items()):
                try:
                    self.versions[name] = member.wait_until_ready()
                except WorkerError as reason:
                    self.dismiss(name, str(reason))
        except BaseException:
            self.close()
            raise

    def dismiss(self, name: str, reason: str) -> None:
        """End one worker for good."""
        self.members.pop(name).close()
        self.absent[name] = reason

    def close(self) -> None:
        """End all workers."""
        for member in self.members.values():
            member.close()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
