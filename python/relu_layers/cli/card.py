"""The card that `relu-layers train` gives a model: data, date, split, what was left out, settings and scores."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from relu_layers.cli.escaping import escaped
from relu_layers.cli.settings import Settings
from relu_layers.runtime import __version__

# Of a wide table the columns with the most gaps; of a card as many lines as a screen holds.
_COLUMNS = 50
_LINES = 60
# What the other entries say, and what changes nothing about the model.
_NO_SETTINGS = {
    "data",
    "target",
    "ignore",
    "validation",
    "test",
    "checkpoint",
    "resume",
    "threads",
    "output",
    "form",
}
_NO_SETTINGS |= {"quiet", "as_json"}


class Origin(NamedTuple):
    """The table as it was read, and what was not used of it; ``filled`` counts the gaps of each column."""

    file: str
    rows: int
    columns: int
    ignored: tuple[str, ...]
    dropped: int
    filled: dict[str, int]


def card_of(
    settings: Settings,
    origin: Origin,
    split: dict[str, int],
    scored: dict[str, Any],
    progress: dict[str, Any],
) -> dict[str, Any]:
    """Return the card, of plain values.

    Parameters
    ----------
    settings : Settings
        With what the data decided.
    origin : Origin
    split : dict
        Rows of each part.
    scored : dict
        Scores, beside those of the baselines.
    progress : dict
        How long was trained.
    """
    card: dict[str, Any] = {
        "data": {"file": origin.file, "rows": origin.rows, "columns": origin.columns},
        "date": datetime.date.today().isoformat(),
        "program": f"relu_layers {__version__}",
    }
    if settings.target is not None:
        card["target"] = settings.target
    if origin.ignored or origin.dropped:
        card["left out"] = {"columns": list(origin.ignored), "rows": origin.dropped}
    filled = {name: count for name, count in origin.filled.items() if count}
    if filled:
        most = sorted(filled, key=filled.__getitem__, reverse=True)[:_COLUMNS]
        card["filled"] = {"values": sum(filled.values()), "columns": {name: filled[name] for name in most}}
    return card | {
        "split": split,
        "settings": _settings(settings),
        "training": progress,
        "scores": scored,
    }


def _settings(settings: Settings) -> dict[str, Any]:
    """Return what was asked for and what the data decided, by the names of the options."""
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    found = {
        name: value for name, value in given.items() if name not in _NO_SETTINGS and value not in (None, ())
    }
    found["hidden"] = list(settings.hidden or ())
    if settings.optimizer != "sgd":
        del found["momentum"]
    if settings.form is not None:
        written = {field.name: getattr(settings.form, field.name) for field in fields(settings.form)}
        written["missing"] = sorted(written["missing"] or ())
        usual = {"header": True, "name_unnamed": True}
        found |= {
            f"file {name}": value
            for name, value in written.items()
            if value not in (None, []) and usual.get(name) != value
        }
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in found.items()
    }


def card_lines(card: Mapping[str, Any]) -> list[str]:
    """Return a card, of whatever a file holds, as lines of text without control characters."""
    lines = list(_lines(card, ()))
    more = len(lines) - _LINES
    return lines if more <= 0 else [*lines[:_LINES], f"and {more:,} lines more, all with --json"]


def _lines(entries: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a line of the single values of a mapping, then those of the mappings in it; at the top a line each."""
    single = {name: value for name, value in entries.items() if not isinstance(value, dict)}
    if path:
        shown = ", ".join(f"{escaped(name, 40)} {_shown(value)}" for name, value in single.items())
        if shown:
            yield f"{' '.join(escaped(name, 40) for name in path)}: {shown}"
        single = {}
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _lines(value, (*path, name))
        elif name in single:
            yield f"{escaped(name, 40)}: {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return f"({', '.join(f'{escaped(name, 40)} {_shown(part)}' for name, part in value.items())})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escaped(value)
