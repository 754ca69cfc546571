"""The lengths of a value's axes as a value of the graph: what `x.view(x.size(0), -1)` becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Node

ROWS = "rows"
_MOST = 16


class Lengths(NamedTuple):
    """Whole numbers, or `ROWS` for the open number of rows, None for another open length; or a single one of them."""

    values: tuple[int | str | None, ...]
    scalar: bool = False


def of_shape(node: Node, shape: tuple[int | None, ...]) -> Lengths:
    """Return the output of a Shape."""
    values = tuple(ROWS if i == 0 and length is None else length for i, length in enumerate(shape))
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(values))
    return Lengths(values[start:end])


def computed(node: Node, known: Mapping[str, Lengths], constants: Mapping[str, Array]) -> Lengths:
    """Return the output of a node that takes lengths and constants; a ValueError if it is of no such kind."""
    first = known.get(node.input(0)) or _constant(node, constants.get(node.input(0)))
    match node.op_type:
        case "Cast" | "Identity":
            return first
        case "Unsqueeze" if first.scalar:
            return Lengths(first.values)
        case "Squeeze" if len(first.values) == 1:
            return Lengths(first.values, True)
        case "Concat":
            parts = [known.get(name) or _constant(node, constants.get(name)) for name in node.inputs]
            values = tuple(value for part in parts for value in part.values)
            if len(values) <= _MOST and not any(part.scalar for part in parts):
                return Lengths(values)
        case "Gather" if not first.scalar:
            wanted = _constant(node, constants.get(node.input(1)))
            count = len(first.values)
            places = [place for place in wanted.values if isinstance(place, int) and -count <= place < count]
            if len(places) == len(wanted.values):
                return Lengths(tuple(first.values[place] for place in places), wanted.scalar)
    raise ValueError(
        f"{node} computes with the lengths of axes, which is read where it keeps one row one row"
    )


def _constant(node: Node, given: Array | None) -> Lengths:
    if given is None or given.dtype not in (np.int64, np.int32) or given.ndim > 1 or given.size > _MOST:
        raise ValueError(f"{node} computes a shape of something else than lengths and whole numbers")
    return Lengths(tuple(given.reshape(-1).tolist()), given.ndim == 0)
