"""One core for all: with one thread each, opponents take turns on the same core, so that other work hits all alike.

Left to itself the system keeps each process on a core of its own, and whoever sits beside a busy neighbour loses.
"""

from __future__ import annotations

import os
from time import perf_counter_ns

# Of many cores it is enough to look at some.
_MOST_PROBED = 16
_PROBES = 3
_PROBE_STEPS = 5_000


def idlest_core() -> int | None:
    """Return the core on which a short loop is done first, None where a process cannot choose its core."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    usable = os.sched_getaffinity(0)
    spent = {}
    try:
        for core in sorted(usable)[:_MOST_PROBED]:
            os.sched_setaffinity(0, {core})
            spent[core] = _probe()
    except OSError:
        return None
    finally:
        os.sched_setaffinity(0, usable)
    return min(spent, key=lambda core: spent[core])


def stay_on(cores: set[int]) -> None:
    """Run the calling thread on these cores from now on, where that can be chosen."""
    if hasattr(os, "sched_setaffinity") and os.sched_getaffinity(0) != cores:
        os.sched_setaffinity(0, cores)


def usable_cores() -> set[int]:
    """Return the cores this thread may run on; empty where the system does not report them."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _probe() -> int:
    """Return the median nanoseconds of a loop."""
    times = []
    for _ in range(_PROBES):
        start = perf_counter_ns()
        for _ in range(_PROBE_STEPS):
            pass
        times.append(perf_counter_ns() - start)
    return sorted(times)[_PROBES // 2]
