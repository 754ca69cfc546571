"""Time of an update on two ranks, measured beside what else two processors could do, and computed for up to 1,024.

``mpiexec -n 2 python benchmarks/distributed.py [--latency 2e-6 --bandwidth 10e9]`` prints, as Markdown and each line
when it is measured, the tables of docs/distributed.md: two ranks beside one, beside one process with two threads, and
beside PyTorch's DistributedDataParallel where that is installed; the parts of an exchange; and, from the formula there,
more ranks. Latency (seconds) and bandwidth (bytes a second) between ranks are those of the machine unless given.

What is compared is timed in turn, and samples in which a rank waited for a processor that other programs used do not
count where there are others. It takes three minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import relu_layers as rl
from relu_layers._training.ordered_sum import OrderedSum, SentSum, SharedSum, shared_bytes
from relu_layers._training.ranks import Place, Ranks
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
# Seconds of calls that are timed at once, of a turn, and of all turns at most.
SAMPLE_SECONDS, TURN_SECONDS, MOST_SECONDS = 3e-4, 0.02, 20.0
TURNS, ENOUGH_SAMPLES, MOST_WAITED = 40, 9, 0.05

Work = Callable[[], object]


def waited() -> float:
    """Return for how many seconds this thread could have run, but had no processor; 0 where the system does not say."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


class Measurement:
    """Times of calls of two ranks, taken in turn.

    A time is the lower quartile of the samples in which neither rank waited for a processor, the lowest tenth of all
    samples where there are too few of those.
    """

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator

    def wait(self) -> None:
        """Wait for the other rank without using a processor."""
        request = self.communicator.Ibarrier()
        while not request.Test():
            time.sleep(2e-4)

    def of(self, together: list[Work], alone: list[Work]) -> list[float]:
        """Return the seconds of a call of each: those of both ranks, and those of rank 0 alone."""
        works = [*((work, False) for work in together), *((work, True) for work in alone)]
        samples: list[list[tuple[float, bool]]] = [[] for _ in works]
        calls, end = [(3, 1)] * len(works), time.perf_counter() + MOST_SECONDS
        for turn in range(TURNS):
            for (work, by_itself), found, (count, repeats) in zip(works, samples, calls, strict=True):
                self.wait()
                if not by_itself or not self.communicator.rank:
                    own = [self.sample(work, repeats) for _ in range(count)]
                    others = [own] if by_itself else self.communicator.allgather(own)
                    found += [
                        (one[0][0], all(quiet for _, quiet in one)) for one in zip(*others, strict=True)
                    ]
            if not turn:  # it warms up, and says how many calls make a sample and a turn
                seconds = [min(found, default=(1.0, True))[0] for found in samples]
                repeats_of = [max(int(SAMPLE_SECONDS / one), 1) for one in seconds]
                calls = [
                    (max(int(TURN_SECONDS / (one * repeats)), 3), repeats)
                    for one, repeats in zip(seconds, repeats_of, strict=True)
                ]
                samples = [[] for _ in works]
            self.wait()
            calls, over = self.communicator.bcast((calls, time.perf_counter() > end))
            if over and turn:
                break
        return list(self.communicator.bcast([typical(found) for found in samples]))

    @staticmethod
    def sample(work: Work, repeats: int) -> tuple[float, bool]:
        """Return the seconds of a call, and whether other programs left this thread its processor."""
        before, begin = waited(), time.perf_counter()
        for _ in range(repeats):
            work()
        seconds = time.perf_counter() - begin
        return seconds / repeats, waited() - before <= MOST_WAITED * seconds


def typical(samples: list[tuple[float, bool]]) -> float:
    quiet = [seconds for seconds, undisturbed in samples if undisturbed]
    if len(quiet) >= ENOUGH_SAMPLES:
        return float(np.quantile(quiet, 0.25))
    return float(np.quantile([seconds for seconds, _ in samples], 0.1)) if samples else 0.0


def name_of(net: tuple[int, ...]) -> str:
    return "-".join(map(str, net))


def parameters_of(net: tuple[int, ...]) -> int:
    return sum((a + 1) * b for a, b in pairwise(net))


def trainer_of(net: tuple[int, ...], communicator: Any = None) -> rl.Trainer:
    model = rl.mlp(list(net), rng=0)
    loss: Any = rl.SquaredError() if net[-1] == 1 else rl.SoftmaxCrossEntropy()
    return rl.Trainer(model, loss, rl.SGD(1e-3, momentum=0.9), rng=1, communicator=communicator)


def rows_of(net: tuple[int, ...], rows: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, net[0])).astype(np.float32)
    y: Any = rng.integers(0, net[-1], rows)
    return x, rng.standard_normal((rows, 1)).astype(np.float32) if net[-1] == 1 else y


def step_of_torch(communicator: Any, net: tuple[int, ...], x: Any, y: Any) -> Work | None:
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


def exchanges(communicator: Any, net: tuple[int, ...]) -> list[Work]:
    """Return what is between gradient and update: through the library, and through shared memory if there is some."""
    gradient = np.ones(parameters_of(net), np.float32)
    ranks = Ranks(communicator, shared_bytes(communicator.size, gradient))
    sums: list[OrderedSum] = [SentSum(communicator, gradient)]
    ranks.meet(Place.GRADIENT)
    if ranks.memory is not None:
        sums.append(SharedSum(communicator, gradient, ranks.memory))
    through_library = Ranks(communicator)
    through_library.memory, through_library._wanted = None, None

    def of(total: OrderedSum, ranks: Ranks) -> Work:
        def exchange() -> None:
            total.begin()
            ranks.meet(Place.GRADIENT, *range(7))
            total.add(communicator.size, last=True)
            gradient[:1] = 1.0  # else it grows

        return exchange

    return [of(total, each) for total, each in zip(sums, (through_library, ranks), strict=False)]


def passes_of(net: tuple[int, ...], x: Any) -> list[Work]:
    """Return a forward pass, and both passes."""
    model = rl.mlp(list(net), rng=0)
    dy = np.ones((len(x), net[-1]), np.float32)

    def both() -> None:
        model.forward(x, training=True)
        model.backward(dy, need_dx=False)

    return [lambda: model.forward(x, training=True), both]


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


def print_line(communicator: Any, *cells: str) -> None:
    if communicator.rank == 0:
        print(f"| {' | '.join(cells)} |", flush=True)


def print_head(communicator: Any, *cells: str) -> None:
    print_line(communicator, *cells)
    print_line(communicator, "---", *["---:"] * (len(cells) - 1))


def speeds(measurement: Measurement) -> list[tuple[float, float]]:
    """Print how fast two ranks are beside others; return the seconds of an update of one rank and of two."""
    communicator = measurement.communicator
    heads = ("network", "rows a rank", "one rank", "two ranks", "two ranks over one rank")
    print_head(communicator, *heads, "over one process, two threads", "over PyTorch DDP, two processes")
    steps = []
    for net, rows in NETS:
        x, y = rows_of(net, rows, communicator.rank)
        both = rows_of(net, 2 * rows, 2)
        one, two, threaded = trainer_of(net), trainer_of(net, communicator), trainer_of(net)
        peer = step_of_torch(communicator, net, x, y)

        def with_two_threads(trainer: rl.Trainer = threaded, both: tuple[Any, Any] = both) -> None:
            with rl.threads(2):
                trainer.step(*both)

        together: list[Work] = [lambda two=two, x=x, y=y: two.step(x, y)]  # type: ignore[misc]
        found = measurement.of(
            [*together, *([] if peer is None else [peer])],
            [lambda one=one, x=x, y=y: one.step(x, y), with_two_threads],  # type: ignore[misc]
        )
        steps.append((found[-2], found[0]))
        cells = [f"{found[-2] * 1e6:.1f} us", f"{found[0] * 1e6:.1f} us", f"{2 * found[-2] / found[0]:.2f}"]
        cells += [f"{found[-1] / found[0]:.2f}", "-" if peer is None else f"{found[1] / found[0]:.1f}"]
        print_line(communicator, name_of(net), str(rows), *cells)
    return steps


def parts(measurement: Measurement) -> list[float]:
    """Print what an exchange of two ranks takes beside the backward pass; return the seconds of the smallest ones."""
    communicator = measurement.communicator
    heads = (
        "network",
        "gradient",
        "exchange by MPI",
        "in shared memory",
        "backward pass",
        "after its first layer",
    )
    print_head(communicator, *heads)
    smallest: list[float] = []
    for net, rows in NETS:
        x, _ = rows_of(net, rows, 0)
        works = exchanges(communicator, net)
        *found, forward, both = measurement.of(works, passes_of(net, x))
        backward = max(both - forward, 0.0)
        smallest = smallest or found
        late = (net[0] + 1) * net[1] / parameters_of(net)
        cells = [f"{parameters_of(net) * 4 / 1e3:.1f} kB", f"{found[0] * 1e6:.1f} us"]
        cells += [
            f"{found[1] * 1e6:.1f} us" if len(found) > 1 else "-",
            f"{backward * 1e6:.1f} us",
            f"{late:.0%}",
        ]
        print_line(communicator, name_of(net), *cells)
    return smallest


def link(measurement: Measurement) -> tuple[float, float, float]:
    """Return latency and bandwidth of an Allgather between two ranks, and bytes a second of adding two arrays."""
    gather = measurement.communicator.Allgather
    small, large = np.zeros(10), np.zeros(2**20)
    received = np.zeros((2, small.size)), np.zeros((2, large.size))
    first, second = np.zeros(2**21, np.float32), np.ones(2**21, np.float32)
    latency, moved, added = measurement.of(
        [lambda: gather(small, received[0]), lambda: gather(large, received[1])],
        [lambda: np.add(first, second, out=first)],
    )
    return latency, large.nbytes / moved, first.nbytes / added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, help="seconds; measured here if not given")
    parser.add_argument("--bandwidth", type=float, help="bytes a second; measured here if not given")
    given = parser.parse_args()
    communicator = world()
    rl.set_num_threads(1)
    if communicator.size != 2:
        parser.error("start it with mpiexec -n 2")
    measurement = Measurement(communicator)
    load = os.getloadavg()[0]
    steps = speeds(measurement)
    print(end="\n" if communicator.rank == 0 else "", flush=True)
    smallest = parts(measurement)
    latency, bandwidth, adding = link(measurement)
    # What an update of the smallest net takes beside its step and the two latencies, were it carried by the library.
    (one, two), python = steps[0], smallest[0] - 2 * latency
    python = max(two - one - smallest[-1] + python, 0.0)
    if communicator.rank:
        return
    print(
        f"\nMeasured: latency {latency * 1e6:.1f} us, bandwidth {bandwidth / 1e9:.1f} GB/s, "
        f"adding {adding / 1e9:.1f} GB/s; load of the machine {load:.1f} at first, {os.getloadavg()[0]:.1f} at last"
    )
    latency, bandwidth = given.latency or latency, given.bandwidth or bandwidth
    print(
        f"\nComputed with latency {latency * 1e6:.1f} us, bandwidth {bandwidth / 1e9:.1f} GB/s, "
        f"{python * 1e6:.0f} us in Python: microseconds an update, and samples a second over one rank\n"
    )
    print_head(communicator, "network", *(f"{ranks:,}" for ranks in RANKS))
    for (net, _), (step, _) in zip(NETS, steps, strict=True):
        cells = []
        for ranks in RANKS:
            found = update_seconds(step, 4 * parameters_of(net), ranks, latency, bandwidth, adding, python)
            cells.append(f"{found * 1e6:,.0f} ({ranks * step / found:.3g})")
        print_line(communicator, name_of(net), *cells)


if __name__ == "__main__":
    main()
