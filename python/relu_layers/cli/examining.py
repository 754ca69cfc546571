"""What keeps a table from being learned from: all of it at once, each with the options that deal with it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click
import numpy as np

from relu_layers.cli.command_line import command_line
from relu_layers.cli.tables import Table
from relu_layers.preprocessing.columns import as_column, is_text, missing, refuse_infinite

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Options: TypeAlias = tuple[tuple[str, str], ...]

MOST_CATEGORIES = 100
_SHOWN = 8
# A column of at least this many rows, all different, is an id; one with this share of numbers is one of numbers.
_ROWS_OF_AN_ID = 20
_MOSTLY = 0.9
_MOST_BAD_CELLS = 5
_NUMBERS_OF_A_COLUMN = 10
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/. ]([A-Za-z]{3,9}|\d{1,2})[-/. ]\d{2,4}"
    r"|\d{4}\u5e74\d{1,2}\u6708\d{1,2}\u65e5|[A-Za-z]{3,9} \d{1,2},? \d{4})"
    r"([ T]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2})?"
)
_ID = re.compile(r"(.*[\s_.-])?(id|index|idx|key|uuid|nr|no)|.*[a-z](ID|Id|Index|Key)", re.ASCII)


class Finding(NamedTuple):
    """A problem in words, and the options of the command line that deal with it."""

    text: str
    options: Options = ()


class Examined(NamedTuple):
    """The columns that can be used, what keeps the others from it, and notes on the rest."""

    columns: dict[str, Array]
    findings: list[Finding]
    notes: list[str]


def examine(
    table: Table, target: str | None, rule: str, categories: Collection[str], form: CsvForm | None
) -> Examined:
    """Return what a table holds beside usable columns.

    Parameters
    ----------
    table : Table
        Without the columns that are ignored.
    target : str or None
    rule : {"error", "mean", "drop"}
        What is done with missing values.
    categories : collection of str
        Columns that are said to hold names, which are taken as they are.
    form : CsvForm or None
        What was said about the text file.
    """
    findings: list[Finding] = []
    columns = {}
    for name, values in table.columns.items():
        try:
            columns[name] = as_column(name, values)
            refuse_infinite(name, columns[name])
        except ValueError as error:
            infinite = _marks(table, table.infinite) if name in columns and table.infinite else ()
            fix = infinite or (("--ignore", name),)
            findings.append(Finding(str(error), fix if name != target or infinite else ()))
            columns.pop(name, None)
    texts = {name: values for name, values in columns.items() if is_text(values) and name not in categories}
    handled, commas = decimal_commas(table, texts, form)
    if commas is not None:
        findings.append(commas)
    notes: list[str] = []
    for name, values in texts.items():
        if name not in handled:
            finding = _odd_text(name, values, table, target)
            if finding is not None:
                findings.append(finding)
                handled.add(name)
    findings += _unnamed(table, columns)
    notes += _ids(table, columns, target)
    ignored = {value for finding in findings for option, value in finding.options if option == "--ignore"}
    findings += _gaps({name: v for name, v in columns.items() if name not in ignored}, target, rule)
    return Examined(columns, findings, notes)


def decimal_commas(
    table: Table, texts: dict[str, Array], form: CsvForm | None
) -> tuple[set[str], Finding | None]:
    """Return the text columns that are numbers with decimal commas, and the finding about them."""
    found: dict[str, tuple[str, bool]] = {}
    if not table.is_text_file or (form is not None and form.decimal is not None):
        return set(), None
    from relu_layers.sources.csv_numbers import office_number, office_numbers

    for name, values in texts.items():
        cells = np.unique(values[~missing(values)]).tolist()
        with_comma = [cell for cell in cells if "," in cell]
        if with_comma and office_numbers(cells, ",", True) is not None:
            certain = any(office_number(cell, ".") is None for cell in with_comma)
            found[name] = (with_comma[0], certain)
    if not found:
        return set(), None
    cell, certain = max(found.values(), key=lambda entry: entry[1])
    names = _listed(list(found))
    either = "" if certain else ", or --decimal . if the commas group thousands"
    what = f"columns {names} hold" if len(found) > 1 else f"column {names} holds"
    return set(found), Finding(
        f"{what} numbers with decimal commas ({cell!r}){either}", (("--decimal", ","),)
    )


def _odd_text(name: str, values: Array, table: Table, target: str | None) -> Finding | None:
    """Return what is odd about a column of text: dates, numbers but for some cells, a different text in each row."""
    gaps = missing(values)
    present = values[~gaps]
    if not len(present):
        return None
    unique, counts = np.unique(present, return_counts=True)
    texts: list[str] = unique.tolist()
    what = "target" if name == target else "column"
    leave: Options = () if name == target else (("--ignore", name),)
    if sum(_DATE.fullmatch(text) is not None for text in texts) >= _MOSTLY * len(texts):
        advice = "" if name == target else ": make numbers of them (year, month, weekday), or leave it out"
        return Finding(f"{what} {name!r} holds dates or times ({present[0]!r}){advice}", leave)
    bad = _bad_cells(texts, counts, len(present))
    if bad:
        row = int(np.argmax(np.asarray(values == bad[0], dtype=bool))) + 1
        shown = ", ".join(map(repr, bad[1:]))
        others = f", beside {shown}" if shown else ""
        line = (
            f"{what} {name!r} holds numbers but for {bad[0]!r} in row {row} (counted from 1){others}: "
            "--na makes them missing"
        )
        known = _marks(table, bad) if table.is_text_file else leave
        return Finding(line if table.is_text_file else line.partition(": --na")[0], known)
    different = len(texts)
    if different == len(present) >= _ROWS_OF_AN_ID or different > MOST_CATEGORIES:
        if name == target:
            return None
        each = (
            "a different text in every row" if different == len(present) else f"{different} different texts"
        )
        return Finding(
            f"column {name!r} has {each} ({texts[0]!r}, {texts[1]!r}, ...), as an id or a name: leave it out, or "
            f"--category makes {different} features of it",
            leave,
        )
    return None


def _marks(table: Table, texts: Collection[str]) -> Options:
    """Return the options that make texts missing values, beside those that are already."""
    return tuple(("--na", mark) for mark in sorted({*table.marks, *texts}))


def _bad_cells(texts: list[str], counts: Array, rows: int) -> list[str]:
    """Return the few texts of a column of numbers that are none."""
    from relu_layers.sources.csv_numbers import is_number

    numeric = [is_number(text) for text in texts]
    share = int(counts[np.array(numeric)].sum())
    bad = [text for text, number in zip(texts, numeric, strict=True) if not number]
    few = 0 < len(bad) <= _MOST_BAD_CELLS and share >= max(_MOSTLY * rows, _NUMBERS_OF_A_COLUMN)
    return bad if few else []


def _unnamed(table: Table, columns: dict[str, Array]) -> list[Finding]:
    """Return the columns without a name that count the rows, as programs write them beside a table."""
    findings = []
    for place, cell in enumerate(table.first_line, 1):
        name = f"column{place}"
        if not cell and name in columns and (_counts_rows(columns[name]) or missing(columns[name]).all()):
            what = "counts the rows, an index" if _counts_rows(columns[name]) else "is empty"
            findings.append(
                Finding(f"column {place} has no name and {what}: it is called {name}", (("--ignore", name),))
            )
    return findings


def _ids(table: Table, columns: dict[str, Array], target: str | None) -> list[str]:
    """Return notes on columns of whole numbers that are rather ids."""
    unnamed = {f"column{place}" for place, cell in enumerate(table.first_line, 1) if not cell}
    notes = []
    for name, values in columns.items():
        if name == target or name in unnamed or values.dtype.kind != "i" or len(values) < _ROWS_OF_AN_ID:
            continue
        named = _ID.fullmatch(name) or _ID.fullmatch(name.lower())
        if named and len(np.unique(values)) == len(values):
            notes.append(
                f"column {name!r} has a different whole number in every row; "
                f"if it is an id, --ignore {name!r} leaves it out"
            )
    return notes


def _counts_rows(values: Array) -> bool:
    return (
        values.dtype.kind == "i"
        and len(values) > 1
        and bool(np.all(np.diff(values) == 1))
        and values[0] in (0, 1)
    )


def _gaps(columns: dict[str, Array], target: str | None, rule: str) -> list[Finding]:
    """Return the columns that miss values, where the rule does not say what to do with them."""
    gaps = {name: missing(values) for name, values in columns.items()}
    empty = [name for name, where in gaps.items() if where.all() and name != target]
    findings = [Finding(f"column {name!r} has no value in any row", (("--ignore", name),)) for name in empty]
    if rule != "error":
        return findings
    lines = [
        f"{'target' if name == target else 'column'} {name!r} has {int(where.sum()):,} missing values, "
        f"the first in row {int(np.argmax(where)) + 1} (counted from 1)"
        for name, where in gaps.items()
        if where.any() and name not in empty
    ]
    if not lines:
        return findings
    only_target = lines and all(
        not where.any() for name, where in gaps.items() if name not in (target, *empty)
    )
    fix = (("--missing", "drop" if only_target else "mean"),)
    choice = "leave such rows out with --missing drop"
    if not only_target:
        choice += ", or fill with mean or most frequent with --missing mean"
    more = f" and {len(lines) - _SHOWN} columns more" if len(lines) > _SHOWN else ""
    findings += [Finding(line) for line in lines[: _SHOWN - 1]] if len(lines) > 1 else []
    last = lines[min(len(lines), _SHOWN) - 1]
    return [*findings, Finding(f"{last}{more}: {choice}", fix)]


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def refuse(name: str, findings: list[Finding], replaced: tuple[str, ...] = ()) -> None:
    """Raise a ValueError with all findings, and the command line that deals with them."""
    if not findings:
        return
    options = [option for finding in findings for option in finding.options]
    refuses_gaps = click.get_current_context().params.get("missing") == "error"
    if refuses_gaps and any(option == "--na" for option, _ in options):
        options.insert(0, ("--missing", "mean"))
    lines = [finding.text for finding in findings]
    text = lines[0] if len(lines) == 1 else f"{name}: {len(lines)} problems\n  " + "\n  ".join(lines)
    asks = [option for option in options if option[1] != "COLUMN"]
    raise ValueError(f"{text}\ngo on with: {command_line(options, replaced)}" if asks else text)
