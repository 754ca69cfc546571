"""The options that say how a text file is written, the same for every command that reads a table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import CsvForm

_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "blank": " ", "comma": ",", "semicolon": ";"}
_OPTIONS = (
    click.option(
        "--separator", metavar="SIGN", help="Between the cells of a text file (tab, space). Default: found."
    ),
    click.option("--decimal", type=click.Choice([".", ","]), help="Decimal sign of a text file. Default: ."),
    click.option("--encoding", metavar="NAME", help="Of a text file: cp1252, cp932, utf-16. Default: UTF-8."),
    click.option(
        "--na",
        multiple=True,
        metavar="TEXT",
        help="What counts as missing beside empty cells, in place of NA, N/A, NaN, null, None, ?, #N/A (repeatable).",
    ),
    click.option(
        "--skip-lines",
        type=click.IntRange(min=0),
        help="Lines of a text file before its table (titles).",
    ),
    click.option(
        "--skip-footer",
        type=click.IntRange(min=0),
        help="Lines of a text file after its table (totals).",
    ),
    click.option(
        "--no-header", is_flag=True, help="The first line is data; columns are column1, column2, ..."
    ),
)
NAMES = ("separator", "decimal", "encoding", "na", "skip_lines", "skip_footer", "no_header")


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, which reach it as one argument ``form``."""

    @functools.wraps(command)
    def wrapped(**options: Any) -> Any:
        given = {name: options.pop(name) for name in NAMES}
        return command(**options, form=form_from(given))

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def form_from(given: dict[str, Any]) -> CsvForm:
    """Return the form that the options describe; a contradiction is a usage error."""
    from relu_layers.sources.csv_form import CsvForm

    separator = given["separator"]
    try:
        return CsvForm(
            separator=separator if separator is None else _SEPARATORS.get(separator, separator),
            decimal=given["decimal"],
            encoding=given["encoding"],
            missing=frozenset(text.strip() for text in given["na"]) if given["na"] else None,
            header=not given["no_header"],
            name_unnamed=True,
            skip_lines=given["skip_lines"],
            skip_footer=given["skip_footer"],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
