"""The figure of a run: time over the limit as bars, distinguished by hatches and names, not by colour.

Needs matplotlib (the extra ``plot``), and nothing of pyplot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relu_layers._support.files import write_atomically
from relu_layers.bench.cases import SECTIONS
from relu_layers.bench.opponents import OPPONENTS, OURS
from relu_layers.bench.results import Cell, Report
from relu_layers.plot import load_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Fill and hatch of each column; only this package's bars are solid black.
_STYLES: dict[str, tuple[str, str]] = {
    OURS: ("black", ""),
    "numpy": ("#c8c8c8", ""),
    "torch": ("white", "////"),
    "torch-compile": ("#c8c8c8", "////"),
    "jax": ("white", "...."),
    "numba": ("white", "----"),
    "sklearn": ("white", "xxxx"),
    "onnxruntime": ("white", "\\\\\\\\"),
    "onnxruntime-binding": ("#c8c8c8", "\\\\\\\\"),
    "openvino": ("white", "++++"),
    "litert": ("white", "||||"),
}
_BAR_INCHES = 0.15
_QUIET = "#5f6570"


@dataclass(frozen=True)
class Group:
    """Bars that belong together: a case, or the geometric mean over the cells of an op."""

    title: str
    bars: tuple[tuple[str, float], ...]


def draw(report: Report, path: Path) -> None:
    """Write the figure; the suffix chooses the format (png, svg, pdf).

    Raises
    ------
    ImportError
        matplotlib is not installed; the message names the extra.
    ValueError
        Nothing was timed, or the suffix names no format.
    """
    load_matplotlib("--plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [panel for panel in panels_of(report.cells) if panel[1]]
    if not panels:
        raise ValueError("nothing was timed, so there is nothing to draw")
    columns = _columns(panels)
    heights = [sum(_inches(groups) for _, groups in column) for column in columns]
    figure = Figure(
        figsize=(6.6 * len(columns), max(heights) + 1.2), dpi=130, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    for part, column, height in zip(
        figure.subfigures(1, len(columns), squeeze=False)[0], columns, heights, strict=True
    ):
        ratios = [_inches(groups) for _, groups in column]
        spare = max(heights) - height
        rows = len(column) + (spare > 0.05)
        grid = part.add_gridspec(rows, 1, height_ratios=[*ratios, *([spare] if rows > len(column) else [])])
        for index, (title, groups) in enumerate(column):
            _panel(part.add_subplot(grid[index]), title, groups, _widest(column))
    threads = report.settings.get("threads", 1)
    figure.suptitle(
        f"Time over the machine's limit (1 = limit; shorter is better), {report.machine.get('CPU', '')}, "
        f"{threads} thread{'s' if threads != 1 else ''}",
        fontsize=10,
        fontweight="bold",
    )
    kind = path.suffix[1:] or "png"
    write_atomically(path, lambda file: figure.savefig(file, format=kind), stream=True)


def panels_of(cells: Sequence[Cell]) -> list[tuple[str, list[Group]]]:
    """Return the panels: a section and dtype each, single ops as geometric means over their cells."""
    panels = []
    for section, title in SECTIONS.items():
        for dtype in dict.fromkeys(cell.case.dtype for cell in cells):
            chosen = [cell for cell in cells if (cell.case.section, cell.case.dtype) == (section, dtype)]
            groups = _op_groups(chosen) if section == "ops" else [_group(cell) for cell in chosen]
            panels.append((f"{title}, {dtype}", [group for group in groups if group.bars]))
    return panels


def _group(cell: Cell) -> Group:
    sizes = "-".join(map(str, cell.case.shape))
    title = f"{sizes}\nbatch {cell.case.batch}" + (f", {cell.case.optimizer}" if cell.case.optimizer else "")
    return Group(title, _ordered({name: time.median / cell.bound for name, time in cell.times.items()}))


def _op_groups(cells: Sequence[Cell]) -> list[Group]:
    """Return one group per op: means over the cells where every participant of the op was timed."""
    groups = []
    for op, members in groupby(
        sorted(cells, key=lambda cell: _first(cells, cell)), lambda cell: cell.case.op
    ):
        timed = [cell for cell in members if cell.times]
        names = {name for cell in timed for name in cell.times}
        shared = [cell for cell in timed if set(cell.times) == names]
        if not shared:
            continue
        means = {
            name: exp(sum(log(cell.times[name].median / cell.bound) for cell in shared) / len(shared))
            for name in names
        }
        count = "" if len(shared) == 1 else f"\nmean of {len(shared)} sizes"
        groups.append(Group(op + count, _ordered(means)))
    return groups


def _first(cells: Sequence[Cell], cell: Cell) -> int:
    """Return the place of the cell's op in the order of the run."""
    return next(index for index, other in enumerate(cells) if other.case.op == cell.case.op)


def _times(value: float) -> str:
    """Return three significant digits, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ordered(values: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((name, values[name]) for name in OPPONENTS if name in values)


def _widest(column: Sequence[tuple[str, list[Group]]]) -> float:
    return max(value for _, groups in column for group in groups for _, value in group.bars)


def _inches(groups: Sequence[Group]) -> float:
    return sum((len(group.bars) + 1) * _BAR_INCHES for group in groups) + 0.55


def _columns(panels: list[tuple[str, list[Group]]]) -> list[list[tuple[str, list[Group]]]]:
    """Return the panels in one column, or in two of about the same height, the order kept."""
    heights = [_inches(groups) for _, groups in panels]
    if len(panels) == 1 or sum(heights) < 5:
        return [panels]
    split = min(range(1, len(panels)), key=lambda cut: max(sum(heights[:cut]), sum(heights[cut:])))
    return [panels[:split], panels[split:]]


def _panel(axes: Axes, title: str, groups: Sequence[Group], widest: float) -> None:
    """Draw one panel, groups from top to bottom."""
    at = 0.0
    ticks: list[tuple[float, str]] = []
    for group in groups:
        middle = at + (len(group.bars) - 1) / 2
        ticks.append((middle, group.title))
        for name, value in group.bars:
            fill, hatch = _STYLES[name]
            axes.barh(at, value, height=0.82, color=fill, hatch=hatch, edgecolor="black", linewidth=0.6)
            weight: Any = "bold" if name == OURS else "normal"
            axes.annotate(
                f"{OPPONENTS[name].title} {_times(value)}",
                (max(value, 0.8), at),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                fontweight=weight,
            )
            at += 1
        at += 1
    axes.set_xscale("log")
    # Room for the name behind the longest bar.
    axes.set_xlim(0.8, 4 * widest**1.25)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_ylim(at - 0.9, -0.9)
    axes.set_yticks([y for y, _ in ticks], [label for _, label in ticks], fontsize=7.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=7.5, colors=_QUIET)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
