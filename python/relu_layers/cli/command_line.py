"""The command line that is running, written again with what it lacks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import click


def command_line(added: Iterable[tuple[str, str]], dropped: Iterable[str] = ()) -> str:
    """Return the running command with further options, each ``(name, value)``; a flag has the value "".

    An option that takes one value replaces the one that was given, one that can be repeated is added to it.
    ``dropped`` names options to leave out.
    """
    context = click.get_current_context()
    values: dict[str, list[str]] = {}
    repeated: set[str] = set()
    words: list[str] = []
    for parameter in context.command.params:
        name = max(parameter.opts, key=len)
        if isinstance(parameter, click.Option):
            if parameter.multiple:
                repeated.add(name)
            source = context.get_parameter_source(parameter.name or "")
            if source != click.core.ParameterSource.COMMANDLINE or name in dropped:
                continue
        given = context.params.get(parameter.name or "")
        texts = [] if given is None else _texts(given)
        if isinstance(parameter, click.Argument):
            words += texts
        else:
            values[name] = texts
    for name, value in added:
        known = values.get(name, [])
        if value in known and value:
            continue
        values[name] = [*known, value] if name in repeated else [value]
    for name, texts in values.items():
        for text in texts:
            words += [name, text] if text else [name]
    return shlex.join(["relu-layers", context.info_name or "", *words])


def _texts(given: object) -> list[str]:
    """Return the values of a parameter as they are typed."""
    if isinstance(given, bool):
        return [""] if given else []
    if isinstance(given, tuple) and all(isinstance(one, int) for one in given):
        return [",".join(map(str, given)) or "none"]  # sizes of layers
    return [_text(one) for one in (given if isinstance(given, tuple) else (given,))]


def _text(one: object) -> str:
    return f"{one:g}" if isinstance(one, float) else str(one)
