"""The network as the page draws it: columns of units with their numbers, the weights between them, the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.explanation.blocks import number, signs
from relu_layers.explanation.trace import LayerTrace, Trace

# Units of a layer that are drawn.
UNITS = 32
# How the verdicts of the gradient check are marked beside a number.
MARKS = {"ok": "✓", "kink": "^", "wrong": "!"}


def shown_units(values: Array, gradient: Array, keep: list[int], limit: int = UNITS) -> list[int]:
    """Return the units of a layer to draw: all, or ``keep`` and those with the largest gradients."""
    width = values.shape[-1]
    if width <= limit:
        return list(range(width))
    size = np.linalg.norm(np.nan_to_num(gradient), axis=0)
    order = [*keep, *(int(u) for u in np.argsort(-size, kind="stable"))]
    return sorted(list(dict.fromkeys(order))[:limit])


class Drawing:
    """Columns of units and the weights between them.

    Attributes
    ----------
    columns : list of dict
        Symbol, kind and units of x and of each layer's output. With numbers, also what each unit has in each of
        the rows: value, gradient, the sign of what went in, and ``0`` where its gate is closed. Without, the
        page computes them.
    """

    def __init__(
        self, trace: Trace, samples: list[int], keep: dict[int, list[int]], with_numbers: bool
    ) -> None:
        self.trace = trace
        layers = trace.layers
        units: list[list[int]] = []
        for place in range(len(layers) + 1):
            one = layers[max(place - 1, 0)]
            values = one.x if place == 0 else one.y
            if place == 0:
                gradient = values
            elif place < len(layers) and layers[place].role == "elementwise":
                gradient = layers[place].dy
            else:
                gradient = one.dy
            if place and one.role == "elementwise":
                units.append(units[-1])
            else:
                units.append(shown_units(values, gradient, keep.get(place, [])))
        self.columns = [
            self._column(place, column, samples, with_numbers) for place, column in enumerate(units)
        ]
        self.edges = (
            [edge for place in range(len(layers)) for edge in self._edges(place)] if with_numbers else None
        )

    def _column(self, place: int, units: list[int], samples: list[int], with_numbers: bool) -> dict[str, Any]:
        one = self.trace.layers[max(place - 1, 0)]
        values = one.x if place == 0 else one.y
        found: dict[str, Any] = {
            "symbol": "x" if place == 0 else one.symbol,
            "kind": "" if place == 0 else one.kind,
            "gated": place > 0 and one.role == "elementwise",
            "units": units,
            "total": values.shape[-1],
        }
        if not with_numbers:
            return found
        gradients = one.dx if place == 0 else one.dy
        return found | {
            "values": {s: [number(values[s, u]) for u in units] for s in samples},
            "gradients": None
            if gradients is None
            else {s: [number(gradients[s, u]) for u in units] for s in samples},
            "signs": {s: signs((one.x if found["gated"] else values)[s, units]) for s in samples},
            "gates": {s: _gates(one, s, units) if found["gated"] else "" for s in samples},
        }

    def _edges(self, place: int) -> list[list[Any]]:
        """Return [column, from, to, size, sign] of the connections behind a column; the largest size is 1."""
        one = self.trace.layers[place]
        before, behind = self.columns[place]["units"], self.columns[place + 1]["units"]
        if one.role != "dense":
            return [[place, u, u, 0.4, "+"] for u in behind if u in before]
        weight = one.params["weight"]
        largest = float(np.abs(weight).max(initial=0.0)) or 1.0
        return [
            [place, i, j, round(abs(float(weight[i, j])) / largest, 2), signs(weight[i : i + 1, j])]
            for i in before
            for j in behind
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the drawing for the page."""
        return {
            "columns": self.columns,
            "edges": self.edges,
            "layers": [_layer(one) for one in self.trace.layers],
            "names": {
                "features": list(self.trace.feature_names),
                "classes": list(self.trace.class_names),
            },
        }


def _gates(layer: LayerTrace, sample: int, units: list[int]) -> str:
    assert layer.derivative is not None
    return "".join("0" if gate == 0 else "1" for gate in layer.derivative[sample, units])


def _layer(one: LayerTrace) -> dict[str, Any]:
    """Return what the page needs to know of a layer to find its arrays."""
    dense = one.role == "dense"
    return {
        "index": one.index,
        "role": one.role,
        "symbol": one.symbol,
        "source": one.source,
        "weight": one.weight_symbol if dense else None,
        "bias": one.bias_symbol if dense and "bias" in one.params else None,
        "needs_dx": one.dx is not None,
    }


def matrices(trace: Trace, drawing: Drawing, samples: list[int]) -> dict[str, Any]:
    """Return the arrays that steps point into, of the rows and units that are shown, in words."""
    found: dict[str, Any] = {}

    def put(name: str, array: Array, rows: list[int], columns: list[int], key: str = "") -> None:
        found[name] = {
            "rows": rows,
            "columns": columns,
            "cells": [[number(array[r, c]) for c in columns] for r in rows],
        }
        if key and trace.checks:
            found[name]["marks"] = [
                "".join(
                    MARKS[one.verdict] if (one := trace.checks.get((key, (r, c)))) else " " for c in columns
                )
                for r in rows
            ]

    for place, one in enumerate(trace.layers):
        before, behind = drawing.columns[place]["units"], drawing.columns[place + 1]["units"]
        put(one.symbol, one.y, samples, behind)
        put(f"d{one.symbol}", one.dy, samples, behind)
        if one.role == "dense":
            put(one.weight_symbol, one.params["weight"], before, behind)
            put(f"d{one.weight_symbol}", one.grads["weight"], before, behind, one.key("weight"))
    put("x", trace.layers[0].x, samples, drawing.columns[0]["units"])
    return found
