"""Where processes of one machine wait for each other, and the memory that they share."""

from __future__ import annotations

import functools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi import HERE, run
from numpy.typing import NDArray

from relu_layers import _core

pytestmark = pytest.mark.skipif(not _core.processes_can_meet(), reason="needs a futex")


@pytest.mark.parametrize("seconds", [0.0, 1e-4])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_whoever_meets_finds_what_the_others_wrote(count: int, seconds: float) -> None:
    """Threads stand for processes: the meeting knows the memory alone. It begins shortly before its count wraps."""
    lines = _core.empty((count, 16), np.dtype(np.uint32))
    lines.fill(0)
    lines[:, 0] = 2**32 - 50
    written = np.zeros((2, count), dtype=np.int64)
    late: list[tuple[int, int]] = []

    def take_part(own: int) -> None:
        for turn in range(200):
            written[turn % 2, own] = turn
            _core.meet_processes(lines, own, seconds)
            late.extend((turn, int(found)) for found in written[turn % 2] if found != turn)

    threads = [threading.Thread(target=take_part, args=(own,)) for own in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not late
    assert not lines[:, 1].any(), "someone still counts as asleep"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize(
    ("processes", "size", "block"), [(1, 5, 16), (2, 1000, 64), (3, 777, 128), (4, 257, 1024)]
)
def test_arrays_are_added_in_order_block_by_block(
    processes: int, size: int, block: int, in_parts: bool, dtype: type
) -> None:
    """Two groups of arrays, of which the last lacks one, are added from left to right, with and without a first sum."""
    lines = _core.empty((processes, 16), np.dtype(np.uint32))
    lines.fill(0)
    shared = _core.empty((_core.shared_elements(processes, block),), np.dtype(dtype))
    rng = np.random.default_rng(size)
    first, second = rng.standard_normal((2, processes, size)).astype(dtype)
    before = rng.standard_normal(size).astype(dtype)
    count = max(processes - 1, 1)
    for earlier in (None, before):
        found = [second[own].copy() for own in range(processes)]

        def take_part(
            own: int, earlier: NDArray[Any] | None = earlier, found: list[NDArray[Any]] = found
        ) -> None:
            total, array = np.zeros(size, dtype), first[own].copy()
            exchange = lines, own, 1e-4, shared, block, in_parts
            _core.add_in_order(*exchange, array, earlier, total, processes, False)
            _core.meet_processes(lines, own, 1e-4)
            assert (array == first[own]).all()
            _core.add_in_order(*exchange, found[own], total, None, count, True)
            _core.meet_processes(lines, own, 1e-4)

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(take_part, range(processes)))
        rows = [*([] if earlier is None else [earlier]), *first, *second[:count]]
        expected = functools.reduce(np.add, rows)
        for array in found:
            np.testing.assert_array_equal(array, expected)


PROGRAM = f"""
import gc, os, sys
sys.path.insert(0, {str(HERE)!r})
from configurations import Case
from relu_layers.distributed import world
communicator = world()
case = Case(1)
trainer = case.trainer(communicator.size, communicator=communicator)
case.fit(trainer, epochs=1)
def files():
    links = [os.readlink(one.path) for one in os.scandir("/proc/self/fd") if os.path.islink(one.path)]
    return [link for link in links if "memfd" in link]
shared = trainer._team._ranks.memory is not None
during = files()
del trainer
gc.collect()
found = communicator.gather([shared, during, files()])
if communicator.rank == 0: print(found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_ranks_of_one_machine_share_memory_without_a_name_and_give_it_back(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    nameless = "/memfd:relu_layers (deleted)"
    assert run(2, program) == f"{[[True, [nameless], []]] * 2}\n"
