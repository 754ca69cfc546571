"""The path of an explanation through the network: a row, a unit per layer, and units shown beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.explanation.trace import LayerTrace, Trace

# Rows of the table of units.
LISTED = 6
# By which part of themselves sums in another order may differ.
_ROUNDING = 1e-9


def first_hidden(trace: Trace) -> LayerTrace | None:
    """Return the first activation behind a Dense layer."""
    return next((one for one in trace.layers if one.role == "elementwise" and one.number), None)


def mixed_row(trace: Trace) -> int:
    """Return the first row in which some units of the first activation pass the gradient and some do not."""
    hidden = first_hidden(trace)
    if hidden is None or hidden.derivative is None or hidden.derivative.ndim != 2:
        return 0
    passing = hidden.derivative != 0
    mixed = passing.any(axis=1) & ~passing.all(axis=1)
    return int(np.argmax(mixed))


def busiest_unit(trace: Trace, sample: int) -> int:
    """Return the hidden unit that passes most of the gradient in this row; the first if none passes any."""
    hidden = first_hidden(trace)
    if hidden is None or hidden.derivative is None or hidden.y.ndim != 2:
        return 0
    return int(np.argmax(np.abs(np.nan_to_num(hidden.derivative[sample] * hidden.dy[sample]))))


@dataclass(frozen=True)
class Path:
    """One way through the network.

    ``outputs[i]`` is the followed unit of layer i's output, ``inputs[i]`` that of its input.
    """

    sample: int
    inputs: list[int]
    outputs: list[int]


def path_through(trace: Trace, sample: int, unit: int) -> Path:
    """Return the path through hidden ``unit``: before and behind it where most of the gradient flows."""
    hidden = first_hidden(trace)
    start = trace.layers.index(hidden) if hidden is not None else len(trace.layers) - 1
    outputs = [0] * len(trace.layers)
    inputs = [0] * len(trace.layers)
    at = unit
    for i in range(start, len(trace.layers)):
        one = trace.layers[i]
        inputs[i] = min(at, one.x.shape[-1] - 1)
        if i > start and one.role == "dense":
            at = _largest(one.params["weight"][inputs[i]] * one.dy[sample])
        outputs[i] = min(at, one.y.shape[-1] - 1)
    at = unit
    for i in range(start, -1, -1):
        one = trace.layers[i]
        outputs[i] = min(at, one.y.shape[-1] - 1)
        if one.role == "dense":
            at = _largest(one.x[sample] * one.params["weight"][:, outputs[i]])
        inputs[i] = min(at, one.x.shape[-1] - 1)
    return Path(sample, inputs, outputs)


def _largest(flow: Array) -> int:
    """Return the place of the largest size; of several that differ by rounding only, the first."""
    sizes = np.abs(np.nan_to_num(flow))
    return int(np.argmax(sizes >= sizes.max() * (1.0 - _ROUNDING)))


def neighbours(layer: LayerTrace, sample: int, unit: int) -> list[int]:
    """Return the units to show of an activation: the followed one, and others of every sign, in order."""
    row = layer.x[sample]
    if len(row) <= LISTED:
        return list(range(len(row)))
    order = _by_size(layer.dy[sample])
    groups = [[int(i) for i in order if test(row[i])] for test in (_below, _above, _zero)]
    chosen = [unit]
    while len(chosen) < LISTED:
        for group in groups:
            while group and group[0] in chosen:
                group.pop(0)
            if group and len(chosen) < LISTED:
                chosen.append(group.pop(0))
    return sorted(chosen)


def stopped_unit(layer: LayerTrace, sample: int) -> int | None:
    """Return the unit at whose gate most is stopped in this row, None where nothing is."""
    if layer.derivative is None or layer.y.ndim != 2:
        return None
    arriving = np.where(layer.derivative[sample] == 0.0, np.abs(np.nan_to_num(layer.dy[sample])), -1.0)
    best = int(np.argmax(arriving))
    return best if arriving[best] > 0.0 else None


def _by_size(values: Array) -> Array:
    return np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")


def _below(value: float) -> bool:
    return value < 0


def _above(value: float) -> bool:
    return value > 0


def _zero(value: float) -> bool:
    return value == 0
