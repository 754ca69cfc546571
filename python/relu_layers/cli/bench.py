"""`relu-layers bench`: this package beside NumPy and whatever else is installed, and beside the machine's limits."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relu_layers._support.arguments import nearest
from relu_layers._support.extras import how_to_install
from relu_layers.cli.errors import Problem, readable

if TYPE_CHECKING:
    from rich.console import Console

    from relu_layers.bench.cases import Case
    from relu_layers.bench.results import Cell

_FIGURES = (".png", ".svg", ".pdf")


@click.command(short_help="Measure speed against NumPy and other libraries.")
@click.option("--only", multiple=True, metavar="NAME", help="A section, family, op or case; see --list.")
@click.option(
    "--against", multiple=True, metavar="LIBRARY", help="Opponents; all that are installed if not given."
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="For every opponent."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64", "both"]), default="float32", show_default=True
)
@click.option("--quick", is_flag=True, help="One small case of each kind, few rounds.")
@click.option("--compile", "compiled", is_flag=True, help="Also torch.compile, which takes minutes.")
@click.option("--seed", type=click.IntRange(0), help="Of all data; fresh if not given.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here."
)
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw a figure (png, svg, pdf)."
)
@click.option("--list", "listed", is_flag=True, help="Print the cases and opponents, measure nothing.")
def bench(
    only: tuple[str, ...],
    against: tuple[str, ...],
    threads: int,
    dtype: str,
    quick: bool,
    compiled: bool,
    seed: int | None,
    json_file: Path | None,
    plot: Path | None,
    listed: bool,
) -> None:
    """Measure single ops, training steps, inference and whole fits.

    Every opponent gets the same data, weights, dtype and number of threads, in a process of its own. Its results are
    compared before anything is timed. docs/benchmark.md says how to read the tables. All cases together
    take a quarter of an hour, --quick about one minute.
    """
    from relu_layers.bench import cases as case_list

    dtypes = case_list.DTYPES if dtype == "both" else (dtype,)
    make = case_list.quick_cases if quick else case_list.all_cases
    try:
        chosen = case_list.select(make(dtypes), only)
    except case_list.UnknownNameError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    _check(against, json_file, plot)
    # Tables come section by section and dtype by dtype.
    sections = list(case_list.SECTIONS)
    chosen.sort(key=lambda case: (sections.index(case.section), case.dtype))
    if listed:
        _list(chosen)
        return
    with readable():
        _run(chosen, against, threads, quick, compiled, seed, json_file, plot)


def _check(against: tuple[str, ...], json_file: Path | None, plot: Path | None) -> None:
    """Refuse options now that would fail after minutes."""
    from relu_layers.bench.opponents import OPPONENTS

    for name in against:
        if name not in OPPONENTS:
            hint = nearest(name, OPPONENTS) or f"; there are {', '.join(OPPONENTS)}"
            raise click.BadParameter(f"no opponent is called {name!r}{hint}", param_hint="--against")
    if plot is not None and plot.suffix.lower() not in _FIGURES:
        raise click.BadParameter(f"{plot} does not end in {', '.join(_FIGURES)}", param_hint="--plot")
    for path in (json_file, plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise Problem(f"{path}: there is no folder {path.parent}")
    if plot is not None:
        from importlib.util import find_spec

        if find_spec("matplotlib") is None:
            raise Problem(f"--plot needs matplotlib: {how_to_install('plot')}")


def _list(chosen: list[Case]) -> None:
    from relu_layers.bench.opponents import OPPONENTS

    for section, members in groupby(chosen, lambda case: case.section):
        names = dict.fromkeys((case.family, case.name) for case in members)
        for family, name in names:
            click.echo(f"{section:<10} {family:<14} {name}")
    click.echo()
    for name, entry in OPPONENTS.items():
        reason = entry.missing()
        state = f"left out: {reason}" if reason else entry.on_request and f"with {entry.on_request}"
        click.echo(f"{name:<20} {entry.title:<14} {state or 'takes part'}")


def _run(
    chosen: list[Case],
    against: tuple[str, ...],
    threads: int,
    quick: bool,
    compiled: bool,
    seed: int | None,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    from rich.console import Console

    from relu_layers.bench import measure
    from relu_layers.bench.crew import WorkerError
    from relu_layers.cli.bench_tables import print_lost, print_start
    from relu_layers.cli.info import cpu_name

    console = Console(highlight=False)
    errors = Console(stderr=True, highlight=False)
    settings = measure.Settings(
        threads=threads,
        seed=measure.Settings.fresh_seed() if seed is None else seed,
        rounds=5 if quick else 15,
        seconds=1.0 if quick else 4.0,
    )
    names = measure.names_of(chosen, against, compiled=compiled)
    tables = _Tables(console)
    with errors.status("starting the workers") as status:
        try:
            report = measure.run(
                chosen,
                names,
                settings,
                measure.describe_machine(cpu_name()),
                on_start=lambda report: print_start(console, report),
                on_case=lambda case, number: status.update(
                    f"{number + 1}/{len(chosen)} {case.name} {case.dtype}"
                ),
                on_cell=tables.add,
            )
        except WorkerError as error:
            raise Problem(str(error)) from error
        finally:
            # Measurements before Ctrl-C are not thrown away.
            status.stop()
            tables.close()
    print_lost(console, report)
    if json_file is not None:
        report.save(json_file)
        console.print(f"results: {json_file}", soft_wrap=True)
    if plot is not None:
        from relu_layers.bench.figure import draw

        draw(report, plot)
        console.print(f"figure: {plot}", soft_wrap=True)


class _Tables:
    """Prints each section's table as soon as its last cell is there."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cells: list[Cell] = []

    def add(self, cell: Cell) -> None:
        """Take a cell, and print those before it if they belong to another table."""
        case = cell.case
        if self._cells and (self._cells[-1].case.section, self._cells[-1].case.dtype) != (
            case.section,
            case.dtype,
        ):
            self.close()
        self._cells.append(cell)

    def close(self) -> None:
        """Print the section that has not been printed yet."""
        from relu_layers.cli.bench_tables import print_section

        if self._cells:
            print_section(self._console, self._cells)
        self._cells = []
