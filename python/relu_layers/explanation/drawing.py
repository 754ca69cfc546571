"""The network drawn: where every unit and weight stands, and what each step lights up."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.explanation.blocks import number, signs
from relu_layers.explanation.followed import Path
from relu_layers.explanation.trace import LayerTrace, Trace

# Units of a layer that are drawn, and the measures of the drawing.
UNITS = 12
# How the verdicts of the gradient check are marked beside a number.
_MARKS = {"ok": "✓", "kink": "^", "wrong": "!"}
ACROSS, DOWN, RADIUS, MARGIN = 150, 44, 15, 46


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
        Symbol, kind and units of x and of each layer's output.
    """

    def __init__(self, trace: Trace, samples: list[int], keep: dict[int, list[int]]) -> None:
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
        tallest = max(map(len, units))
        self.height = 2 * MARGIN + DOWN * max(tallest - 1, 1)
        self.width = 2 * MARGIN + ACROSS * len(layers)
        self.columns: list[dict[str, Any]] = []
        for place, column in enumerate(units):
            one = layers[max(place - 1, 0)]
            values = one.x if place == 0 else one.y
            top = (self.height - DOWN * (len(column) - 1)) / 2 + 8
            self.columns.append(
                {
                    "symbol": "x" if place == 0 else one.symbol,
                    "kind": "" if place == 0 else one.kind,
                    "gated": place > 0 and one.role == "elementwise",
                    "units": column,
                    "more": values.shape[-1] - len(column),
                    "x": MARGIN + ACROSS * place,
                    "y": [top + DOWN * k for k in range(len(column))],
                    "values": {s: [number(values[s, u]) for u in column] for s in samples},
                    "gradients": None
                    if place == 0
                    else {s: [number(one.dy[s, u]) for u in column] for s in samples},
                    "signs": {s: self._signs(place, s, column) for s in samples},
                }
            )
        self.edges = [edge for place in range(len(layers)) for edge in self._edges(place)]

    def _signs(self, place: int, sample: int, units: list[int]) -> str:
        """Return the sign of what went into an activation; of the values themselves elsewhere."""
        one = self.trace.layers[max(place - 1, 0)]
        gated = place > 0 and one.role == "elementwise"
        values = one.x if place == 0 or gated else one.y
        return signs(values[sample, units])

    def _edges(self, place: int) -> list[list[Any]]:
        """Return [column, from, to, width, sign] of the connections behind a column."""
        one: LayerTrace = self.trace.layers[place]
        before, behind = self.columns[place]["units"], self.columns[place + 1]["units"]
        if one.role != "dense":
            return [[place, u, u, 1.5, "+"] for u in behind if u in before]
        weight = one.params["weight"]
        largest = float(np.abs(weight).max(initial=0.0)) or 1.0
        return [
            [
                place,
                i,
                j,
                round(0.6 + 2.6 * abs(float(weight[i, j])) / largest, 2),
                signs(weight[i : i + 1, j]),
            ]
            for i in before
            for j in behind
        ]

    def focus(self, key: str, path: Path) -> dict[str, Any]:
        """Return which units, weights and array entries a step is about, and where its gradient stops."""
        found = self._focus(key, path)
        stops = [
            [k + 1, path.outputs[k]]
            for k, one in enumerate(self.trace.layers)
            if one.role == "elementwise"
            and one.derivative is not None
            and one.derivative[path.sample, path.outputs[k]] == 0
        ]
        return found | {"stops": [one for one in stops if found["back"] and one in found["nodes"]]}

    def _focus(self, key: str, path: Path) -> dict[str, Any]:
        layers, s = self.trace.layers, path.sample
        if key == "path":
            nodes = [[0, path.inputs[0]], *([k + 1, u] for k, u in enumerate(path.outputs))]
            edges = [[k, i, j] for k, (i, j) in enumerate(zip(path.inputs, path.outputs, strict=True))]
            cells = [
                [f"d{one.weight_symbol}", i, j]
                for one, i, j in zip(layers, path.inputs, path.outputs, strict=True)
                if one.role == "dense"
            ]
            return {"nodes": nodes, "edges": edges, "cells": cells[:1], "back": True}
        if key in ("loss", "loss-backward"):
            last = layers[-1]
            name = last.symbol if key == "loss" else f"d{last.symbol}"
            return {
                "nodes": [[len(layers), -1]],
                "edges": [],
                "cells": [[name, s, path.outputs[-1]]],
                "back": key != "loss",
            }
        if key in ("check", "update", "corner"):
            return self._weights(key, path)
        way, _, index = key.partition("-")
        place = next((k for k, one in enumerate(layers) if str(one.index) == index), None)
        if way not in ("forward", "backward") or place is None:
            return {"nodes": [], "edges": [], "cells": [], "back": False}
        return self._layer(layers[place], place, path, way == "backward")

    def _layer(self, one: LayerTrace, place: int, path: Path, back: bool) -> dict[str, Any]:
        s, i, j = path.sample, path.inputs[place], path.outputs[place]
        nodes = [[place, i], [place + 1, j]]
        edges = [[place, i, j]]
        if one.role == "dense":
            cells = [[f"d{one.weight_symbol}", i, j]] if back else [[one.weight_symbol, -1, j]]
            nodes = [[place + 1, j], [place, -1]] if not back else nodes
            # -1 is every unit of that side.
            edges = [[place, -1, j]] if not back else edges
            if back and one.dx is not None:
                edges.append([place, i, -1])
                cells.append([f"d{one.source}", s, i])
            elif not back:
                cells.append([one.symbol, s, j])
        else:
            cells = (
                [[f"d{one.source}", s, j], [f"d{one.symbol}", s, j]]
                if back
                else [[one.source, s, j], [one.symbol, s, j]]
            )
        return {"nodes": nodes, "edges": edges, "cells": cells, "back": back}

    def _weights(self, key: str, path: Path) -> dict[str, Any]:
        """Return the followed weights: what check and update are about."""
        found = [
            (k, one, i, j)
            for k, (one, i, j) in enumerate(zip(self.trace.layers, path.inputs, path.outputs, strict=True))
            if one.role == "dense"
        ]
        prefix = "d" if key == "check" else ""
        return {
            "nodes": [],
            "edges": [[k, i, j] for k, _, i, j in found],
            "cells": [[f"{prefix}{one.weight_symbol}", i, j] for _, one, i, j in found],
            "back": key == "check",
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the drawing for the page."""
        return {
            "width": self.width,
            "height": self.height,
            "radius": RADIUS,
            "columns": self.columns,
            "edges": self.edges,
        }


def matrices(trace: Trace, drawing: Drawing, samples: list[int]) -> dict[str, Any]:
    """Return the arrays that steps point into, of the rows and units that are shown, in words."""
    found: dict[str, Any] = {}

    def put(name: str, array: Array, rows: list[int], columns: list[int], key: str = "") -> None:
        found[name] = {
            "rows": rows,
            "columns": columns,
            "cells": [[number(array[r, c]) for c in columns] for r in rows],
            "shape": f"({array.shape[0]}, {array.shape[1]})",
        }
        if key and trace.checks:
            found[name]["marks"] = [
                "".join(
                    _MARKS[one.verdict] if (one := trace.checks.get((key, (r, c)))) else " " for c in columns
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
