"""The benchmark's report as text: opponents, limits, one table per section, and where this package loses."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relu_layers.bench.cases import SECTIONS, Case
from relu_layers.bench.opponents import OPPONENTS, OURS
from relu_layers.bench.results import Cell, Report
from relu_layers.cli.report import say

# Where output is not a terminal, lines are as long as they need to be.
_UNLIMITED = 400


def print_start(console: Console, report: Report) -> None:
    """Print machine, versions, absent opponents with reasons, and the measured limits."""
    lines = {**report.machine}
    for name, versions in report.versions.items():
        lines[OPPONENTS[name].title] = ", ".join(_version(name, *item) for item in versions.items())
    lines["threads"] = f"{report.settings['threads']} for each"
    lines["seed"] = str(report.settings["seed"])
    limits = report.limits
    peaks = ", ".join(f"{peak / 1e9:.0f} GFLOP/s {dtype}" for dtype, peak in limits.peak.items())
    lines["peak"] = peaks
    lines["bandwidth"] = ", ".join(
        f"{level.name} {level.bandwidth / 1e9:.0f} GB/s" for level in limits.levels
    )
    lines["call"] = f"{limits.call * 1e9:.0f} ns"
    width = max(map(len, lines))
    for key, value in lines.items():
        say(console, f"{key:<{width}}  {value}")
    for name, reason in report.absent.items():
        say(console, f"left out: {OPPONENTS[name].title}, because {reason}")


def _version(name: str, key: str, value: str) -> str:
    return value if key.lower() == OPPONENTS[name].title.lower() or key == name else f"{key} {value}"


def print_section(console: Console, cells: Sequence[Cell]) -> None:
    """Print the table of consecutive cells of one section and dtype, and why cells are empty."""
    case = cells[0].case
    say(console, "")
    say(console, f"{SECTIONS[case.section]}, {case.dtype}, microseconds", "bold")
    names = [name for name in OPPONENTS if any(name in cell.times or name in cell.reasons for cell in cells)]
    for spread in (True, False):
        table = _table(cells, names, spread=spread)
        if not console.is_terminal or _width(table) <= console.width:
            break
    _print_whole(console, table)
    faster = any(cell.lost_to() for cell in cells)
    notes = ["median"]
    notes += ["± half the distance of the quartiles"] if spread else []
    notes += ["* faster than relu_layers"] if faster else []
    say(console, "; ".join(notes), "dim")
    for name, reason in dict.fromkeys(item for cell in cells for item in cell.reasons.items()):
        where = [cell.case.name for cell in cells if cell.reasons.get(name) == reason]
        named = ", ".join(where[:3]) + (f" and {len(where) - 3} more" if len(where) > 3 else "")
        say(console, f"not timed: {OPPONENTS[name].title}: {reason} ({named})")


def _width(table: Table) -> int:
    return Console(width=_UNLIMITED).measure(table).maximum


def _print_whole(console: Console, table: Table) -> None:
    """Print a table with nothing cut off; a terminal that is too narrow wraps its lines."""
    whole = Console(
        file=console.file, width=_width(table), force_terminal=console.is_terminal, highlight=False
    )
    whole.print(table)


def _table(cells: Sequence[Cell], names: Sequence[str], *, spread: bool) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("limit", justify="right", no_wrap=True)
    for name in names:
        table.add_column(OPPONENTS[name].title, justify="right", no_wrap=True)
        if name == OURS:
            table.add_column("/limit", justify="right", no_wrap=True)
    for cell in cells:
        row = [Text(cell_title(cell.case)), Text(_number(cell.bound))]
        for name in names:
            row.append(_time(cell, name, spread=spread))
            if name == OURS:
                row.append(Text("" if cell.ours is None else f"{cell.ours.median / cell.bound:.2f}"))
        table.add_row(*row)
    return table


def cell_title(case: Case) -> str:
    """Return the heading of a row."""
    sizes = ("-" if case.section != "ops" else " x ").join(f"{size:,}" for size in case.shape)
    if case.section == "ops":
        return f"{case.op} {sizes}"
    kind = case.optimizer or ("frozen" if case.op == "frozen" else "")
    return f"{sizes.replace(',', '')}, batch {case.batch}" + (f", {kind}" if kind else "")


def _time(cell: Cell, name: str, *, spread: bool) -> Text:
    time = cell.times.get(name)
    if time is None:
        reason = cell.reasons.get(name, "")
        return Text("differs" if reason.startswith("disagrees") else "-")
    text = _number(time.median)
    if spread:
        text += f" ±{100 * time.spread:.0f}%"
    faster = cell.ours is not None and name != OURS and time.median < cell.ours.median
    return Text(text + ("*" if faster else " "), style="yellow" if faster else "")


def _number(nanoseconds: float) -> str:
    """Return microseconds with three significant digits."""
    value = nanoseconds / 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_lost(console: Console, report: Report) -> None:
    """Print every cell where an opponent was faster, the worst first."""
    lost = report.lost()
    timed = [cell for cell in report.cells if cell.ours is not None]
    say(console, "")
    say(console, "Where relu_layers is not the fastest", "bold")
    compared = [cell for cell in timed if len(cell.times) > 1]
    if not lost:
        say(console, f"nowhere in {len(compared)} cells")
        return
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for heading in ("case", "dtype", "fastest"):
        table.add_column(heading, no_wrap=True)
    for heading in ("relu_layers", "theirs", "times slower"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for cell, name, ratio in lost:
        ours = cell.times[OURS]
        table.add_row(
            cell_title(cell.case),
            cell.case.dtype,
            OPPONENTS[name].title,
            _number(ours.median),
            _number(cell.times[name].median),
            f"{ratio:.2f}",
            "quartiles overlap" if cell.within_spread(name) else "",
        )
    _print_whole(console, table)
    clear = sum(not cell.within_spread(name) for cell, name, _ in lost)
    say(console, f"{len(lost)} of {len(compared)} cells, {clear} of them clearly")
