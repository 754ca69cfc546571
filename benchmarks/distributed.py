"""Time of an update on several ranks: measured here on two, computed for up to 1,024.

``mpiexec -n 2 python benchmarks/distributed.py [--latency 2e-6 --bandwidth 10e9]`` prints, as Markdown, the speed of
two ranks as a ratio to one and beside PyTorch's DistributedDataParallel where that is installed (interleaved, medians,
one thread a rank), and the table of docs/distributed.md from the formula there. Latency (seconds) and bandwidth
(bytes a second) between ranks are those of the machine unless given.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import relu_layers as rl
from relu_layers.distributed import world

# Layers and rows of a minibatch of each rank: the networks of `relu-layers bench`.
NETS = (
    ((2, 30, 1), 4),
    ((20, 64, 64, 3), 32),
    ((784, 128, 10), 64),
    ((784, 512, 10), 128),
    ((784, 1024, 1024, 10), 256),
)
RANKS = (1, 2, 4, 8, 16, 64, 256, 1024)
SMALL_GRADIENTS = 2**20  # bytes received that are worth one exchange less
PER_RANK, ADDITIONS = 0.5e-6, 4


def median_seconds(work: Callable[[], object], seconds: float = 0.2) -> float:
    """Return the median time of a call."""
    work()
    found, end = [], time.perf_counter() + seconds
    while len(found) < 5 or time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def trainer_of(net: tuple[int, ...], communicator: Any = None) -> rl.Trainer:
    model = rl.mlp(list(net), rng=0)
    loss: Any = rl.SquaredError() if net[-1] == 1 else rl.SoftmaxCrossEntropy()
    return rl.Trainer(model, loss, rl.SGD(1e-3, momentum=0.9), rng=1, communicator=communicator)


def rows_of(net: tuple[int, ...], batch: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, net[0])).astype(np.float32)
    y = (
        rng.standard_normal((batch, 1)).astype(np.float32)
        if net[-1] == 1
        else rng.integers(0, net[-1], batch)
    )
    return x, y


def step_of_torch(communicator: Any, net: tuple[int, ...], x: Any, y: Any) -> Callable[[], object] | None:
    """Return a step of DistributedDataParallel over gloo, None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.distributed.is_initialized():
        torch.set_num_threads(1)
        where = communicator.bcast(tempfile.mktemp())
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{where}", rank=communicator.rank, world_size=communicator.size
        )
    layers: list[Any] = []
    for a, b in pairwise(net):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers[:-1]))
    loss = torch.nn.MSELoss() if net[-1] == 1 else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> None:
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()

    return step


def compared(communicator: Any, net: tuple[int, ...], batch: int, rounds: int = 15) -> list[float]:
    """Return the median seconds of an update of one rank alone, of all ranks, and of PyTorch's, measured in turn."""
    x, y = rows_of(net, batch, communicator.rank)
    alone, together = trainer_of(net), trainer_of(net, communicator)
    peer = step_of_torch(communicator, net, x, y)
    steps = [lambda: alone.step(x, y), lambda: together.step(x, y), *([] if peer is None else [peer])]
    calls = max(int(0.02 / median_seconds(steps[0], 0.02)), 3)
    calls = int(communicator.bcast(calls))
    times: list[list[float]] = [[] for _ in steps]
    for round_ in range(rounds + 1):
        for step, found in zip(steps, times, strict=True):
            communicator.Barrier()
            begin = time.perf_counter()
            if step is not steps[0] or not communicator.rank:
                for _ in range(calls):
                    step()
            else:  # one rank alone: the others wait without using a processor
                time.sleep(0.02)
            if round_:
                found.append((time.perf_counter() - begin) / calls)
    return [statistics.median(found) for found in times]


def link(communicator: Any) -> tuple[float, float]:
    """Return latency and bandwidth of an Allgather between two ranks."""
    small, large = np.zeros(10), np.zeros(2**20)
    received = np.zeros((communicator.size, small.size)), np.zeros((communicator.size, large.size))
    latency = median_of_calls(communicator, lambda: communicator.Allgather(small, received[0]), 2000)
    moved = median_of_calls(communicator, lambda: communicator.Allgather(large, received[1]), 20)
    return latency, large.nbytes / moved


def median_of_calls(communicator: Any, work: Callable[[], object], calls: int) -> float:
    found = []
    for _ in range(9):
        communicator.Barrier()
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        found.append((time.perf_counter() - begin) / calls)
    return statistics.median(found)


def adding_speed() -> float:
    """Return bytes a second of adding one array to another."""
    first, second = np.zeros(2**21, np.float32), np.ones(2**21, np.float32)
    return first.nbytes / median_seconds(lambda: np.add(first, second, out=first))


def update_seconds(
    step: float, gradient: int, ranks: int, latency: float, bandwidth: float, adding: float, python: float
) -> float:
    """Return the computed seconds of an update: the formula of docs/distributed.md."""
    if ranks == 1:
        return step
    hops = math.ceil(math.log2(ranks)) * latency
    common = step + python + ranks * PER_RANK + hops
    if ranks == 2 or (ranks - 1) * gradient <= SMALL_GRADIENTS:
        return common + hops + (ranks - 1) * gradient / bandwidth + ranks * gradient / adding
    moved = 2 * gradient * (ranks - 1) / (ranks * bandwidth)
    return common + 2 * hops + moved + ADDITIONS * gradient / adding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, help="seconds; measured here if not given")
    parser.add_argument("--bandwidth", type=float, help="bytes a second; measured here if not given")
    given = parser.parse_args()
    communicator = world()
    rl.set_num_threads(1)
    if communicator.size != 2:
        parser.error("start it with mpiexec -n 2")
    latency, bandwidth = link(communicator)
    adding = adding_speed()
    measured = [compared(communicator, net, batch) for net, batch in NETS]
    if communicator.rank:
        return
    print(
        f"latency {latency * 1e6:.1f} us, bandwidth {bandwidth / 1e9:.1f} GB/s, adding {adding / 1e9:.1f} GB/s\n"
    )
    peer = len(measured[0]) > 2
    print(
        "| network | rows a rank | one rank | two ranks | samples a second, two ranks over one |"
        + " PyTorch DDP over two ranks |" * peer
    )
    print("|---|---:|---:|---:|---:|" + "---:|" * peer)
    for (net, batch), (alone, together, *torch) in zip(NETS, measured, strict=True):
        cells = ["-".join(map(str, net)), str(batch), f"{alone * 1e6:.1f} us", f"{together * 1e6:.1f} us"]
        cells += [f"{2 * alone / together:.2f}", *(f"{other / together:.1f}" for other in torch)]
        print(f"| {' | '.join(cells)} |")
    python = max(measured[0][1] - measured[0][0] - 2 * latency, 0.0)
    latency, bandwidth = given.latency or latency, given.bandwidth or bandwidth
    print(
        f"\nComputed with latency {latency * 1e6:.1f} us, bandwidth {bandwidth / 1e9:.1f} GB/s, "
        f"{python * 1e6:.0f} us in Python: microseconds an update, and samples a second over one rank\n"
    )
    print("| network | " + " | ".join(f"{ranks:,}" for ranks in RANKS) + " |")
    print("|---|" + "---:|" * len(RANKS))
    for (net, _), (alone, *_) in zip(NETS, measured, strict=True):
        parameters = sum((a + 1) * b for a, b in pairwise(net))
        cells = []
        for ranks in RANKS:
            seconds = update_seconds(alone, 4 * parameters, ranks, latency, bandwidth, adding, python)
            cells.append(f"{seconds * 1e6:,.0f} ({ranks * alone / seconds:.3g})")
        print(f"| {'-'.join(map(str, net))} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
