"""The gradient check's verdicts for the entries of a trace."""

from __future__ import annotations

from typing import Any

from relu_layers._explain.trace import Check
from relu_layers._fit import Examples
from relu_layers._gradcheck import gradcheck
from relu_layers.model import Sequential


def checks(
    model: Sequential, loss: Any, given: Examples, max_entries: int
) -> tuple[dict[tuple[str, tuple[int, ...]], Check], float]:
    """Return the verdict of every entry that was checked, parameters and ``"x"``, and their part of all."""
    report = gradcheck(
        model, given.x, given.y, loss, sample_weight=given.sample_weight, max_entries=max_entries
    )
    found = {}
    for entry in report.entries:
        kink = entry.kink
        place = None if kink is None else (kink.layer, kink.unit, kink.sample, kink.value)
        found[entry.name, entry.index] = Check(entry.analytic, entry.numeric, entry.verdict, place)
    return found, report.fraction
