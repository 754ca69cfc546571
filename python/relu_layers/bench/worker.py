"""One opponent in a process of its own, which answers the benchmark's requests on its standard streams.

A fresh process is what lets every library read its number of threads before it is loaded, and what keeps the
thread pools, allocators and settings of one library away from another.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import IO, Any

import numpy as np

from relu_layers.bench import data, placement, protocol
from relu_layers.bench.cases import Case
from relu_layers.bench.opponents import OPPONENTS, Opponent, Runner, UnsupportedError

Array = np.ndarray[Any, np.dtype[Any]]


class Worker:
    """Keeps the opponent and its prepared case."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = threads
        self._opponent: Opponent = OPPONENTS[name].create(threads)
        self._runner: Runner | None = None
        self._cores = placement.usable_cores()

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[Array]]:
        """Serve a request."""
        what = request["do"]
        if what == "describe":
            return {"versions": self._opponent.versions()}, []
        if what == "limits":
            from relu_layers.bench.peaks import measure_limits

            return {"limits": measure_limits(self._threads).to_dict()}, []
        if what == "prepare":
            # Threads that a library starts now are not bound to the core of its caller.
            placement.stay_on(self._cores)
            case = Case.from_dict(request["case"])
            self._runner = None
            gc.collect()
            self._runner = self._opponent.prepare(case, data.make(case, request["seed"]))
            return {"calls": self._runner.calls}, self._runner.outcome()
        if what == "block":
            assert self._runner is not None
            if request["core"] is not None:
                placement.stay_on({request["core"]})
            return {"nanoseconds": self._block(self._runner, request["count"], request["warm_up"])}, []
        self._runner = None
        return {}, []

    @staticmethod
    def _block(runner: Runner, count: int, warm_up: int) -> int:
        """Return the nanoseconds of ``count`` units, after some that are not counted."""
        gc.collect(0)
        gc.disable()
        try:
            if warm_up:
                runner.block(warm_up)
            return runner.block(count)
        finally:
            gc.enable()


def serve(worker: Worker, requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer until the requests end; an exception is an answer too."""
    while True:
        try:
            request, _ = protocol.receive(requests)
        except EOFError:
            return
        try:
            fields, arrays = worker.answer(request)
        except UnsupportedError as reason:
            fields, arrays = {"unsupported": str(reason)}, []
        except Exception as error:
            fields, arrays = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}, []
        protocol.send(replies, fields, arrays)


def main() -> None:
    """Serve on the standard streams; output of libraries goes to stderr."""
    name, threads = sys.argv[1:]
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    try:
        worker = Worker(name, int(threads))
    except Exception as error:
        protocol.send(replies, {"failed": f"{type(error).__name__}: {error}".splitlines()[0]})
        return
    protocol.send(replies, {"ready": True})
    serve(worker, sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
