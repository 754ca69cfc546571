"""The machine's limits, measured on the spot with the threads of this run: no table of processors, no intrinsics.

- Peak of multiply-adds: the fastest of several products whose operands stay in cache, by this package and by
  NumPy's BLAS.
- Bandwidth of a level: the fastest of reading (a dot product of an array with itself), copying (NumPy) and ReLU in
  place and into another array (this package), over arrays that fill half of that level; bytes read and bytes
  written both count. In the smallest cache a call costs more than the bytes, so a level is at least as fast as
  the one behind it.
- Call: a built-in function of two arguments that does nothing.

Each is the best of many short runs, so that other work on the machine does not lower a limit, and each is what some
program reached: the true limit may be a little higher, never lower.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from relu_layers import ops
from relu_layers.bench.roofline import Level, Limits

Array = np.ndarray[Any, np.dtype[Any]]

_PRODUCTS = ((64, 784, 128), (128, 512, 512), (96, 256, 256), (256, 128, 128), (512, 512, 512))
_SHORTEST_RUN = 100_000  # nanoseconds
_ROUNDS = 25
# Where the system does not report its caches.
_USUAL_CACHES = (("L1", 32 << 10), ("L2", 1 << 20), ("L3", 32 << 20))
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def measure_limits(threads: int) -> Limits:
    """Return the limits of this process, in about two seconds."""
    peak = {dtype: _peak(dtype) for dtype in ("float32", "float64")}
    sizes = cache_sizes()
    levels = []
    for index, (name, size) in enumerate(sizes):
        # Each core has its own first two caches.
        held = size if name == "L3" else size * threads
        levels.append(Level(name, held, _bandwidth(held // 2, index)))
    footprint = min(max(4 * sizes[-1][1], 64 << 20), 512 << 20)
    levels.append(Level("memory", 0, _bandwidth(footprint, len(sizes))))
    for index in range(len(levels) - 2, -1, -1):
        level = levels[index]
        levels[index] = Level(level.name, level.size, max(level.bandwidth, levels[index + 1].bandwidth))
    return Limits(peak, tuple(levels), _call())


def cache_sizes(folder: Path = _CACHES) -> list[tuple[str, int]]:
    """Return name and bytes of each data cache, smallest first."""
    found = []
    for index in sorted(folder.glob("index*")):
        try:
            kind = (index / "type").read_text().strip()
            level = (index / "level").read_text().strip()
            size = re.fullmatch(r"(\d+)([KM])", (index / "size").read_text().strip())
        except OSError:
            continue
        if size and kind in ("Data", "Unified"):
            found.append((f"L{level}", int(size[1]) << {"K": 10, "M": 20}[size[2]]))
    return sorted(found, key=lambda each: each[1]) or list(_USUAL_CACHES)


def _best_seconds(calls: Sequence[Callable[[], Any]], rounds: int = _ROUNDS) -> list[float]:
    """Return the shortest time of each call, the calls taken in turn."""
    counts = []
    for call in calls:
        count = 1
        while True:
            spent = _run(call, count)
            if spent >= _SHORTEST_RUN:
                break
            count *= 4 if spent * 4 < _SHORTEST_RUN else 2
        counts.append(count)
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, (call, count) in enumerate(zip(calls, counts, strict=True)):
            best[index] = min(best[index], _run(call, count) / count)
    return [seconds * 1e-9 for seconds in best]


def _run(call: Callable[[], Any], count: int) -> int:
    start = perf_counter_ns()
    for _ in range(count):
        call()
    return perf_counter_ns() - start


def _peak(dtype: str) -> float:
    """Return floating-point operations per second."""
    rng = np.random.default_rng(0)
    calls: list[Callable[[], Any]] = []
    flops = []
    for m, k, n in _PRODUCTS:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        c = np.empty((m, n), dtype)
        calls += [
            lambda a=a, b=b, c=c: ops.matmul(a, b, out=c),  # type: ignore[misc]
            lambda a=a, b=b, c=c: np.dot(a, b, out=c),  # type: ignore[misc]
        ]
        flops += [2.0 * m * k * n] * 2
    return max(work / seconds for work, seconds in zip(flops, _best_seconds(calls), strict=True))


def _bandwidth(footprint: int, level: int) -> float:
    """Return bytes per second, read and written, over ``footprint`` bytes in all."""
    elements = footprint // 4
    one = np.random.default_rng(0).random(elements, dtype=np.float32)
    half = elements // 2
    source, target = one[:half], one[half : 2 * half]
    calls: list[Callable[[], Any]] = [
        lambda: np.dot(one, one),
        lambda: np.copyto(target, source),
        lambda: ops.relu_forward(source, out=target),
        lambda: ops.relu_forward(one, out=one),
    ]
    moved = [one.nbytes, 2 * source.nbytes, 2 * source.nbytes, 2 * one.nbytes]
    rounds = _ROUNDS if level < 3 else 5
    return max(size / seconds for size, seconds in zip(moved, _best_seconds(calls, rounds), strict=True))


def _call() -> float:
    """Return the seconds of one call into C, the loop around it included."""
    call, nothing = operator.is_, None

    def run(count: int) -> int:
        start = perf_counter_ns()
        for _ in range(count):
            call(nothing, nothing)
        return perf_counter_ns() - start

    return min(run(10_000) for _ in range(_ROUNDS)) / 10_000 * 1e-9
