"""Starts programs of this folder on several ranks, with the mpiexec that the mpich wheel brings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# Longer than a loaded machine needs, far shorter than a hang.
SECONDS = 240.0


def mpiexec() -> str:
    """Path of the launcher beside this Python; skips the test where there is none."""
    if find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py")
    found = shutil.which("mpiexec", path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip("needs mpiexec, from the mpich wheel")
    return found


def environment(**extra: str) -> dict[str, str]:
    """Environment of a job: one thread for each rank."""
    return {**os.environ, "RELU_LAYERS_NUM_THREADS": "1", **extra}


def start(ranks: int, *arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """Start a Python program with arguments on a number of ranks, in a process group of its own."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, *map(str, arguments)]
    settings = {"env": environment(), **options}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **settings,  # type: ignore[call-overload]
    )


def finish(job: subprocess.Popen[str], seconds: float = SECONDS) -> tuple[int, str, str]:
    """Return exit status and output of a job; one that hangs is ended, which fails the test."""
    try:
        out, err = job.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        out, err = job.communicate()
        pytest.fail(f"the job hung for {seconds} s\n{out}\n{err}")
    return job.returncode, out, err


def run(ranks: int, *arguments: str | Path, **options: object) -> str:
    """Return what a program printed that has to succeed."""
    status, out, err = finish(start(ranks, *arguments, **options))
    assert status == 0, f"exit status {status}\n{out}\n{err}"
    return out
