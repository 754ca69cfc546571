"""Statistics, the cells that are lost, the JSON file and the figure, from a made-up report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relu_layers.bench.cases import Case
from relu_layers.bench.opponents import OPPONENTS, OURS
from relu_layers.bench.results import Cell, Report, Timing
from relu_layers.bench.roofline import Level, Limits

LIMITS = Limits(
    {"float32": 1e11, "float64": 5e10}, (Level("L1", 32768, 2e11), Level("memory", 0, 2e10)), 5e-8
)


def cell(case: Case, **medians: float) -> Cell:
    times = {
        name: Timing(value, 0.9 * value, 1.1 * value, 0.8 * value, 5, 100) for name, value in medians.items()
    }
    return Cell(case, 100.0, times)


def report() -> Report:
    step = Case("training", "step", (2, 30, 1), batch=4, optimizer="sgd")
    infer = Case("inference", "infer", (20, 64, 64, 3), batch=1)
    forward = [Case("ops", "forward", (n, 64, 32)) for n in (1, 4)]
    cells = [
        cell(forward[0], **{OURS: 200.0, "numpy": 400.0}),
        cell(forward[1], **{OURS: 800.0, "numpy": 400.0}),
        cell(step, **{OURS: 500.0, "numpy": 450.0, "torch": 25_000.0}),
        cell(infer, **{OURS: 300.0, "onnxruntime": 900.0}),
    ]
    cells[-1].reasons["sklearn"] = "disagrees: outputs differ by 1"
    versions = {name: {name: "1.0"} for name in (OURS, "numpy", "torch", "onnxruntime", "sklearn")}
    return Report(
        {"CPU": "a processor"},
        versions,
        {"jax": "jax is not installed"},
        {"threads": 1, "seed": 5},
        LIMITS,
        cells,
    )


def test_a_timing_is_median_and_quartiles() -> None:
    time = Timing.of([5.0, 1.0, 2.0, 4.0, 3.0], 10)
    assert (time.lower, time.median, time.upper) == (2.0, 3.0, 4.0)
    assert (time.fastest, time.rounds) == (1.0, 5)
    assert time.spread == pytest.approx(1 / 3)


def test_lost_cells_are_those_where_somebody_is_faster_the_worst_first() -> None:
    lost = report().lost()
    assert [(cell.case.name, name) for cell, name, _ in lost] == [
        ("forward-4x64x32", "numpy"),
        ("step-2-30-1-b4-sgd", "numpy"),
    ]
    assert [ratio for *_, ratio in lost] == pytest.approx([2.0, 500 / 450])
    assert [cell.within_spread(name) for cell, name, _ in lost] == [False, True]


def test_the_json_file_holds_the_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    report().save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
    written = json.loads(path.read_text())
    assert written.keys() == {"schema", "machine", "settings", "limits", "opponents", "cells", "lost"}
    assert written["schema"] == 1
    assert written["opponents"]["jax"] == {"title": "JAX", "versions": {}, "absent": "jax is not installed"}
    assert written["opponents"]["numpy"]["absent"] is None
    step = written["cells"][2]
    assert step["name"] == "step-2-30-1-b4-sgd"
    assert step["bound_ns"] == 100.0
    assert step["times"]["torch"] == pytest.approx(
        {
            "median_ns": 25_000.0,
            "lower_quartile_ns": 22_500.0,
            "upper_quartile_ns": 27_500.0,
            "fastest_ns": 20_000.0,
            "rounds": 5,
            "calls_per_block": 100,
            "over_bound": 250.0,
        }
    )
    assert written["cells"][3]["reasons"] == {"sklearn": "disagrees: outputs differ by 1"}
    assert written["lost"][0]["times_slower"] == 2.0


def test_ops_are_drawn_as_geometric_means_over_the_cells_that_all_share() -> None:
    pytest.importorskip("matplotlib")
    from relu_layers.bench.figure import panels_of

    panels = dict(panels_of(report().cells))
    [group] = panels["Single ops, float32"]
    assert group.title == "forward\nmean of 2 sizes"
    assert dict(group.bars) == pytest.approx({OURS: 4.0, "numpy": 4.0})
    [training] = panels["Training steps, float32"]
    assert dict(training.bars) == pytest.approx({OURS: 5.0, "numpy": 4.5, "torch": 250.0})


def test_bars_are_told_apart_without_colour() -> None:
    pytest.importorskip("matplotlib")
    from relu_layers.bench.figure import _STYLES

    assert list(_STYLES) == list(OPPONENTS)
    assert len(set(_STYLES.values())) == len(OPPONENTS)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_figure_is_written_in_every_format(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    from relu_layers.bench.figure import draw

    path = tmp_path / f"figure{suffix}"
    draw(report(), path)
    start: Any = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert path.stat().st_size > 10_000
    if suffix == ".png":
        from matplotlib.image import imread

        image = imread(path)
        assert image.min() == 0.0
        assert image.mean() < 0.99


def test_nothing_timed_is_nothing_to_draw(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from relu_layers.bench.figure import draw

    empty = report()
    empty.cells = []
    with pytest.raises(ValueError, match="nothing was timed"):
        draw(empty, tmp_path / "none.png")
    assert not list(tmp_path.iterdir())
