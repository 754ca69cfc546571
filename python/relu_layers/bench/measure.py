"""The run: every opponent's results are checked, then all are timed in turns."""

from __future__ import annotations

import os
import platform
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from relu_layers.bench import placement, truth
from relu_layers.bench.cases import Case
from relu_layers.bench.crew import Crew, UnsupportedCaseError, WorkerError
from relu_layers.bench.opponents import OPPONENTS, OURS
from relu_layers.bench.results import Cell, Report, Timing
from relu_layers.bench.roofline import Limits, bound

# Nanoseconds of a block, and of the calls before it that bring the caches back after another opponent's turn.
_BLOCK = 4_000_000
_WARM_UP = 400_000
_LONG_CALL = 50_000_000


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    threads : int
        For every opponent.
    seed : int
        Of all data; drawn freshly unless given.
    rounds : int
        Blocks of each opponent, at most; fewer where a case would take longer than ``seconds``, at least 3.
    seconds : float
        Of timing one case.
    """

    threads: int = 1
    seed: int = 0
    rounds: int = 15
    seconds: float = 4.0

    @staticmethod
    def fresh_seed() -> int:
        """Return a random seed."""
        return secrets.randbelow(1 << 31)


def names_of(cases: Sequence[Case], against: Sequence[str], *, compiled: bool) -> list[str]:
    """Return the opponents that have a part in the cases, this package first."""
    sections = {case.section for case in cases}
    chosen = []
    for name, entry in OPPONENTS.items():
        wanted = name in against if against else compiled or not entry.on_request
        if name == OURS or (wanted and sections & set(entry.sections)):
            chosen.append(name)
    return chosen


def run(
    cases: Sequence[Case],
    names: Sequence[str],
    settings: Settings,
    machine: dict[str, str],
    *,
    on_start: Callable[[Report], None] = lambda report: None,
    on_case: Callable[[Case, int], None] = lambda case, number: None,
    on_cell: Callable[[Cell], None] = lambda cell: None,
) -> Report:
    """Measure all cases and return the report.

    The callbacks are called when the workers are up and the limits known, before each case, and after it.

    Raises
    ------
    WorkerError
        This package's own worker does not start.
    """
    with Crew(names, settings.threads) as crew:
        if OURS not in crew.members:
            raise WorkerError(f"{OURS}: {crew.absent[OURS]}")
        limits = Limits.from_dict(crew.members[OURS].ask({"do": "limits"})[0]["limits"])
        report = Report(machine, crew.versions, crew.absent, asdict(settings), limits)
        on_start(report)
        for number, case in enumerate(cases):
            on_case(case, number)
            cell = _measure(crew, case, settings, limits)
            report.cells.append(cell)
            on_cell(cell)
    return report


def describe_machine(cpu: str) -> dict[str, str]:
    """Return where this runs; ``cpu`` is the processor's model."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return {
        "machine": platform.machine(),
        "CPU": cpu,
        "cores": f"{usable} usable of {os.cpu_count()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()} ({sys.implementation.name})",
    }


def _measure(crew: Crew, case: Case, settings: Settings, limits: Limits) -> Cell:
    cell = Cell(case, 1e9 * bound(case, limits))
    taking_part = [name for name in crew.members if case.section in OPPONENTS[name].sections]
    # Three more for the expected results, which are float64.
    needed = case.bytes * (len(taking_part) + 3)
    if needed > _available_memory():
        cell.reasons = dict.fromkeys(taking_part, f"needs {needed / 2**30:.1f} GiB of memory")
        return cell
    wanted = truth.expected(case, settings.seed)
    ready: dict[str, int] = {}
    for name in taking_part:
        answer = _ask(crew, cell, name, {"do": "prepare", "case": case.to_dict(), "seed": settings.seed})
        if answer is None:
            continue
        fields, outcome = answer
        wrong = truth.difference(outcome, wanted)
        if wrong:
            cell.reasons[name] = f"disagrees: {wrong}"
            _ask(crew, cell, name, {"do": "drop"})
        else:
            ready[name] = fields["calls"]
    del wanted
    _time(crew, cell, ready, settings)
    for name in ready:
        _ask(crew, cell, name, {"do": "drop"})
    return cell


def _time(crew: Crew, cell: Cell, ready: dict[str, int], settings: Settings) -> None:
    """Time the opponents in turns, each round beginning with the next of them."""
    core = placement.idlest_core() if settings.threads == 1 else None
    single = {name: _one_unit(crew, cell, name, core) for name in list(ready)}
    order = [name for name, spent in single.items() if spent]
    counts = {name: max(1, round(_BLOCK / single[name])) for name in order}
    warm = {
        name: 0 if single[name] > _LONG_CALL else max(1, round(_WARM_UP / single[name])) for name in order
    }
    one_round = sum(single[name] * (counts[name] + warm[name]) for name in order) * 1e-9
    rounds = max(3, min(settings.rounds, int(settings.seconds / max(one_round, 1e-9))))
    times: dict[str, list[float]] = {name: [] for name in order}
    for turn in range(rounds):
        first = turn % max(len(order), 1)
        for name in order[first:] + order[:first]:
            spent = _block(crew, cell, name, counts[name], warm[name], core)
            if spent:
                times[name].append(spent / (counts[name] * ready[name]))
    for name, found in times.items():
        if len(found) == rounds:
            cell.times[name] = Timing.of(found, counts[name] * ready[name])


def _one_unit(crew: Crew, cell: Cell, name: str, core: int | None) -> float:
    """Return about how many nanoseconds one unit takes, 0 if it fails."""
    count, deadline = 1, monotonic() + 1.0
    spent = _block(crew, cell, name, 1, 0, core)
    while spent:
        spent = _block(crew, cell, name, count, 0, core)
        if spent > _BLOCK / 4 or monotonic() > deadline:
            break
        count *= 4
    return spent / count


def _block(crew: Crew, cell: Cell, name: str, count: int, warm_up: int, core: int | None) -> int:
    answer = _ask(crew, cell, name, {"do": "block", "count": count, "warm_up": warm_up, "core": core})
    return 0 if answer is None else max(1, answer[0]["nanoseconds"])


def _ask(
    crew: Crew, cell: Cell, name: str, request: dict[str, Any]
) -> tuple[dict[str, Any], list[Any]] | None:
    """Return the answer, or None and the reason in the cell; a worker whose process ended is not asked again."""
    if name not in crew.members:
        return None
    try:
        return crew.members[name].ask(request)
    except UnsupportedCaseError as reason:
        cell.reasons[name] = f"no equivalent: {reason}"
    except WorkerError as reason:
        cell.reasons[name] = str(reason)
        if not crew.members[name].alive:
            crew.dismiss(name, str(reason))
    return None


def _available_memory() -> float:
    """Return the bytes that may be used, with some left for everything else."""
    try:
        return 0.7 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return float("inf")
