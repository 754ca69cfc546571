"""Every opponent computes what the formulas say, from the same weights; each in its own process, as in a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relu_layers.bench import truth
from relu_layers.bench.cases import Case, quick_cases
from relu_layers.bench.crew import Crew, UnsupportedCaseError
from relu_layers.bench.opponents import OPPONENTS

SEED = 20
# Beyond the quick cases: layers wide enough for every path, and the last optimizer of the smallest network.
MORE = [
    Case("training", "step", (30, 70, 10), batch=24, optimizer="sgd"),
    Case("training", "step", (2, 30, 1), batch=4, optimizer="adam"),
    Case("inference", "infer", (784, 128, 10), batch=8),
    Case("fit", "fit", (30, 70, 10), batch=24, optimizer="adam", rows=240),
    Case("ops", "forward", (1, 30, 1)),
    Case("ops", "softmax", (7, 2)),
]


@pytest.fixture(scope="module", params=OPPONENTS)
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    entry = OPPONENTS[request.param]
    if entry.missing():
        pytest.skip(entry.missing())
    if entry.on_request:
        pytest.skip(f"takes part with {entry.on_request} only")
    with Crew([request.param], threads=1) as crew:
        assert not crew.absent
        yield crew


# A second dtype of these is a second compilation of everything.
COMPILED = ("torch", "jax", "numba")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_those_of_the_formulas(crew: Crew, dtype: str) -> None:
    [(name, member)] = crew.members.items()
    if name in ("openvino", "litert") and dtype == "float64":
        pytest.skip("computes in float32")
    if name in COMPILED and dtype == "float64":
        pytest.skip("compiled once, for float32")
    more = [Case(**{**case.to_dict(), "dtype": dtype}) for case in MORE]
    compared = 0
    for case in [*quick_cases([dtype]), *more]:
        if case.section not in OPPONENTS[name].sections:
            continue
        try:
            fields, outcome = member.ask({"do": "prepare", "case": case.to_dict(), "seed": SEED})
        except UnsupportedCaseError:
            # Each for a reason of its own, which is in the tables.
            assert name in ("numba", "openvino", "litert")
            assert case.family == "gemm" if name == "numba" else dtype == "float64"
            continue
        assert truth.difference(outcome, truth.expected(case, SEED)) == "", case.name
        assert fields["calls"] == (case.steps if case.section == "fit" else 1)
        spent = member.ask({"do": "block", "count": 2, "warm_up": 1, "core": None})[0]["nanoseconds"]
        assert spent > 0
        compared += 1
    assert compared >= 2


def test_versions_are_told(crew: Crew) -> None:
    [versions] = crew.versions.values()
    assert versions
    assert all(isinstance(value, str) and value for value in versions.values())
