"""The run itself, with workers in this process: who disagrees or fails is told and not timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from relu_layers.bench import crew, measure, placement
from relu_layers.bench.cases import Case, UnknownNameError, all_cases, quick_cases, select
from relu_layers.bench.opponents import OPPONENTS, OURS
from relu_layers.bench.roofline import Level, Limits
from relu_layers.bench.worker import Worker

LIMITS = Limits({"float32": 1e11, "float64": 5e10}, (Level("memory", 0, 2e10),), 5e-8)
CASE = Case("ops", "softmax", (64, 10))
SETTINGS = measure.Settings(threads=1, seed=1, rounds=3, seconds=0.2)


@pytest.fixture(autouse=True)
def cores(the_same_cores: None) -> Iterator[None]:
    """A worker stays on one core, and these workers are this process."""
    before = placement.usable_cores()
    yield
    placement.stay_on(before)


class Member:
    """A worker in this process; ``change`` spoils its outcome, ``fails_at`` one of its answers."""

    alive = True

    def __init__(self, name: str, change: float = 0.0, fails_at: str = "") -> None:
        self._worker, self._change, self._fails_at = Worker(name, 1), change, fails_at
        self.asked: list[str] = []

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        self.asked.append(request["do"])
        if request["do"] == "limits":
            return {"limits": LIMITS.to_dict()}, []
        if request["do"] == self._fails_at:
            raise crew.WorkerError("no reason")
        fields, arrays = self._worker.answer(request)
        return fields, [array + self._change for array in arrays]


class FakeCrew:
    """Members under given names, started by nobody."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members
        self.versions: dict[str, dict[str, str]] = {name: {} for name in members}
        self.absent: dict[str, str] = {}

    def __enter__(self) -> FakeCrew:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def dismiss(self, name: str, reason: str) -> None:
        self.absent[name] = reason
        del self.members[name]


def run(monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]) -> Any:
    monkeypatch.setattr(measure, "Crew", lambda names, threads: FakeCrew(members))
    return measure.run([CASE], list(members), SETTINGS, {})


def test_who_agrees_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(monkeypatch, {OURS: Member(OURS), "numpy": Member("numpy")})
    [cell] = report.cells
    assert cell.reasons == {}
    assert list(cell.times) == [OURS, "numpy"]
    for time in cell.times.values():
        assert time.lower <= time.median <= time.upper
        assert time.rounds == 3
    assert cell.bound > 0


def test_who_disagrees_is_told_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    liar = Member("numpy", change=0.01)
    report = run(monkeypatch, {OURS: Member(OURS), "numpy": liar})
    [cell] = report.cells
    assert list(cell.times) == [OURS]
    assert cell.reasons["numpy"].startswith("disagrees: probabilities differ by 0.01")
    assert "block" not in liar.asked


def test_who_fails_is_told_and_the_others_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    for request in ("prepare", "block"):
        report = run(monkeypatch, {OURS: Member(OURS), "numpy": Member("numpy", fails_at=request)})
        [cell] = report.cells
        assert list(cell.times) == [OURS]
        assert cell.reasons == {"numpy": "no reason"}


def test_a_dead_worker_is_dismissed(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Member("numpy", fails_at="block")
    dead.alive = False
    report = run(monkeypatch, {OURS: Member(OURS), "numpy": dead})
    assert report.absent == {"numpy": "no reason"}


def test_what_does_not_fit_into_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_available_memory", lambda: 1000.0)
    [cell] = run(monkeypatch, {OURS: Member(OURS)}).cells
    assert not cell.times
    assert "GiB of memory" in cell.reasons[OURS]


def test_a_worker_that_cannot_start_says_why() -> None:
    with crew.Crew(["numpy"], threads=1) as started:
        member = started.members["numpy"]
        with pytest.raises(crew.WorkerError, match="KeyError"):
            member.ask({"do": "prepare"})
        assert member.alive
        member._process.kill()
        with pytest.raises(crew.WorkerError, match="ended with code"):
            member.ask({"do": "describe"})


def test_threads_reach_every_library_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    environment = crew.environment(2)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RELU_LAYERS_NUM_THREADS"):
        assert environment[name] == "2"
    assert "--xla_cpu_multi_thread_eigen=false" in crew.environment(1)["XLA_FLAGS"]


def test_opponents_are_those_with_a_part_in_the_cases() -> None:
    ops = [case for case in quick_cases() if case.section == "ops"]
    assert "onnxruntime" not in measure.names_of(ops, (), compiled=False)
    assert "torch-compile" not in measure.names_of(quick_cases(), (), compiled=False)
    assert measure.names_of(quick_cases(), (), compiled=True) == list(OPPONENTS)
    assert measure.names_of(quick_cases(), ("numpy",), compiled=False) == [OURS, "numpy"]


def test_cases_are_selected_by_section_family_op_and_name() -> None:
    cases = all_cases(["float32"])
    assert {case.section for case in select(cases, ["fit"])} == {"fit"}
    assert {case.op for case in select(cases, ["gemm"])} == {"forward", "dx", "dweight"}
    assert [case.shape for case in select(cases, ["dx-64x784x128"])] == [(64, 784, 128)]
    assert select(cases, []) == cases
    with pytest.raises(UnknownNameError, match="did you mean 'softmax'"):
        select(cases, ["sofmax"])
