"""The bound on numbers that can be worked out by hand, and the caches as a system tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from relu_layers.bench.cases import Case, all_cases
from relu_layers.bench.peaks import cache_sizes
from relu_layers.bench.roofline import Level, Limits, bound, passes

LIMITS = Limits(
    peak={"float32": 100e9, "float64": 50e9},
    levels=(
        Level("L1", 32 << 10, 200e9),
        Level("L2", 1 << 20, 100e9),
        Level("L3", 32 << 20, 50e9),
        Level("memory", 0, 20e9),
    ),
    call=50e-9,
)


def test_a_large_product_is_bound_by_arithmetic() -> None:
    case = Case("ops", "forward", (256, 1024, 1024))
    assert bound(case, LIMITS) == pytest.approx(2 * 256 * 1024 * 1024 / 100e9 + 50e-9)
    double = Case("ops", "forward", (256, 1024, 1024), "float64")
    assert bound(double, LIMITS) == pytest.approx(2 * 256 * 1024 * 1024 / 50e9 + 50e-9)


def test_one_row_is_bound_by_the_memory_the_weights_come_from() -> None:
    case = Case("ops", "forward", (1, 4096, 4096))
    size = 4 * (4096 + 4096 * 4096 + 4096)
    assert bound(case, LIMITS) == pytest.approx(size / 20e9 + 50e-9)


@pytest.mark.parametrize(
    ("elements", "bandwidth"),
    [(10_000, 100e9), (1_000_000, 50e9), (10_000_000, 20e9)],
)
def test_an_elementwise_op_is_bound_by_the_level_that_holds_it(elements: int, bandwidth: float) -> None:
    case = Case("ops", "relu-forward", (elements,))
    assert bound(case, LIMITS) == pytest.approx(2 * 4 * elements / bandwidth + 50e-9)


def test_a_training_step_adds_up_its_passes() -> None:
    case = Case("training", "step", (784, 128, 10), batch=64, optimizer="momentum")
    flops = 2 * 64 * (2 * 784 * 128 + 3 * 128 * 10)
    params = 784 * 128 + 128 + 128 * 10 + 10
    assert sum(each.flops for each in passes(case)[:-1]) == pytest.approx(flops + 20 * 640)
    assert passes(case)[-1].elements == 5 * params
    # The products and the loss by arithmetic, the update (2 MB) by the third cache.
    expected = (flops + 20 * 640) / 100e9 + 4 * 5 * params / 50e9 + 50e-9
    assert bound(case, LIMITS) == pytest.approx(expected)


def test_a_fit_reads_every_row_once_and_is_called_once() -> None:
    step = Case("training", "step", (784, 128, 10), batch=64, optimizer="momentum")
    fit = Case("fit", "fit", (784, 128, 10), batch=64, optimizer="momentum", rows=60_032)
    rows = 4 * 60_032 * 784
    expected = bound(step, LIMITS) - 50e-9 + (rows / 20e9 + 50e-9) / 938
    assert bound(fit, LIMITS) == pytest.approx(expected)


def test_adam_moves_more_than_momentum_and_momentum_more_than_sgd() -> None:
    bounds = [
        bound(Case("training", "step", (784, 128, 10), batch=64, optimizer=name), LIMITS)
        for name in ("sgd", "momentum", "adam")
    ]
    assert bounds == sorted(bounds)
    assert len(set(bounds)) == 3


def test_every_case_has_a_bound_and_a_name_of_its_own() -> None:
    cases = all_cases()
    assert len({(case.name, case.dtype) for case in cases}) == len(cases)
    assert all(bound(case, LIMITS) > 0 for case in cases)
    assert [Case.from_dict(case.to_dict()) for case in cases] == cases


def test_limits_survive_a_message() -> None:
    assert Limits.from_dict(LIMITS.to_dict()) == LIMITS


def test_caches_are_read_from_the_system(tmp_path: Path) -> None:
    described = [
        ("Data", "1", "48K"),
        ("Instruction", "1", "32K"),
        ("Unified", "2", "2048K"),
        ("Unified", "3", "36M"),
    ]
    for index, (kind, level, size) in enumerate(described):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, value in (("type", kind), ("level", level), ("size", size)):
            (folder / name).write_text(value + "\n")
    assert cache_sizes(tmp_path) == [("L1", 48 << 10), ("L2", 2 << 20), ("L3", 36 << 20)]
    assert len(cache_sizes(tmp_path / "none")) == 3
