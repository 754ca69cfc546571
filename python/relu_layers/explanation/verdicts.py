"""The gradient check's verdicts for the entries of a trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from relu_layers._training.examples import Examples
from relu_layers.explanation.path import Path
from relu_layers.explanation.trace import Check, Trace
from relu_layers.gradient_check import Entry, gradcheck
from relu_layers.gradient_check.differences import Probe
from relu_layers.gradient_check.frozen_loss import FrozenLoss
from relu_layers.model import Sequential

Place = tuple[str, tuple[int, ...]]


def checks(
    model: Sequential, loss: Any, given: Examples, wanted: Iterable[Place], max_entries: int
) -> tuple[dict[Place, Check], float]:
    """Return the verdict of every entry that was checked, parameters and ``"x"``, and their part of all.

    Of a large net a sample is checked, and the entries that are ``wanted``.
    """
    report = gradcheck(
        model, given.x, given.y, loss, sample_weight=given.sample_weight, max_entries=max_entries
    )
    found = {(entry.name, entry.index): _check(entry) for entry in report.entries}
    missing = [place for place in wanted if place not in found]
    if missing:
        held = FrozenLoss(model, given.x, given.y, loss, given.sample_weight)
        for name, index in missing:
            gradient = held.gradients[name]
            largest = float(np.abs(gradient).max(initial=0.0))
            probe = Probe(held, name, index, float(gradient[index]), largest)
            found[name, index] = _check(probe.entry())
    return found, report.fraction


def followed_entries(trace: Trace, path: Path) -> list[Place]:
    """Return the entries of weights and biases that an explanation follows."""
    places: list[Place] = []
    for layer, i, j in zip(trace.layers, path.inputs, path.outputs, strict=True):
        if layer.role == "dense":
            places.append((layer.key("weight"), (i, j)))
            if "bias" in layer.params:
                places.append((layer.key("bias"), (j,)))
    return places


def _check(entry: Entry) -> Check:
    kink = entry.kink
    place = None if kink is None else (kink.layer, kink.unit, kink.sample, kink.value)
    return Check(entry.analytic, entry.numeric, entry.verdict, place)
