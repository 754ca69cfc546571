"""The layers that have been read so far, and the known facts about the output of the last one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Graph, Node
from relu_layers.formats.onnx._operators import short_number
from relu_layers.formats.onnx._tensors import FLOATS, type_name
from relu_layers.layers import Layer

Shape = tuple[int | None, ...] | None


class Made(NamedTuple):
    """A layer to be made, and the values of its parameters."""

    make: Callable[[], Layer]
    params: dict[str, Array]


class Comparison(NamedTuple):
    """A comparison of the chain's value with a constant, which a Where must follow."""

    name: str
    op_type: str
    threshold: float


class Chain:
    """Layers in a row, under construction.

    Attributes
    ----------
    layers : list of Made
    constants : dict
        Arrays by name: initializers, and what was computed of them.
    dtype : np.dtype
        Of the input, and so of everything.
    current : str
        The value that the last layer gives; the next one must take it.
    shape : tuple or None
        Of that value: None in place of a length that is not known, None if even the number of axes is not.
    positional : bool
        Whether a layer so far depends on the axes, so that flattening the input beforehand would change it.
    comparison : Comparison or None
    """

    def __init__(self, graph: Graph) -> None:
        used = {name for node in graph.nodes for name in node.inputs} | {
            value.name for value in graph.outputs
        }
        sources = [value for value in graph.inputs if value.name in used]
        if len(sources) != 1:
            names = ", ".join(value.name for value in sources) or "none"
            raise ValueError(f"it has {len(sources)} inputs ({names}), expected one")
        (source,), (self._target,) = sources, graph.outputs
        if source.kind not in FLOATS:
            raise ValueError(f"input {source.name!r} is {type_name(source.kind)}, expected FLOAT or DOUBLE")
        self.layers: list[Made] = []
        self.constants = dict(graph.constants)
        self.dtype = FLOATS[source.kind]
        self.current = source.name
        self.shape: Shape = source.shape
        self.positional = False
        self.comparison: Comparison | None = None

    def finish(self) -> None:
        """Raise unless the last layer gives the declared output."""
        target = self._target
        if self.current != target.name:
            raise ValueError(
                f"output {target.name!r} does not come from the last layer, which gives {self.current!r}"
            )
        if FLOATS.get(target.kind) != self.dtype:
            raise ValueError(
                f"output {target.name!r} is {type_name(target.kind)}, but the input is {self.dtype}"
            )
        if target.shape is not None and self.shape is not None:
            pairs = zip(target.shape, self.shape, strict=False)
            if len(target.shape) != len(self.shape) or any(
                None not in pair and pair[0] != pair[1] for pair in pairs
            ):
                raise ValueError(
                    f"output {target.name!r} is declared as {target.shape}, but comes as {self.shape}"
                )
        if not self.layers:
            raise ValueError("it has no layer: its output is its input")

    def add(self, make: Callable[[], Layer], **params: Array) -> None:
        """Append a layer."""
        self.layers.append(Made(make, params))

    @property
    def rank(self) -> int | None:
        """Number of axes of the current value, None if not known."""
        return None if self.shape is None else len(self.shape)

    @property
    def row_features(self) -> int | None:
        """Number of elements of one row of the current value, None if not known."""
        lengths = (None,) if self.shape is None else self.shape[1:]
        known = [length for length in lengths if length is not None]
        return math.prod(known) if len(known) == len(lengths) else None

    def check_takes_current(self, node: Node, index: int = 0) -> None:
        """Raise unless an input of ``node`` is the current value."""
        if node.input(index) != self.current:
            raise ValueError(f"{node}: its input {index} must be {self.current!r}, got {node.input(index)!r}")

    def operand(self, node: Node, index: int = 1) -> Array:
        """Return an input that must be constant, of the model's dtype."""
        found = self.constants.get(node.input(index))
        if found is None:
            raise ValueError(f"{node}: its input {index}, {node.input(index)!r}, must be constant")
        if found.dtype != self.dtype:
            raise ValueError(
                f"{node}: {node.input(index)!r} is {found.dtype}, but the model's input is {self.dtype}"
            )
        return found

    def number(self, node: Node, index: int) -> float:
        """Return an input that must be one constant number."""
        given, rank = self.operand(node, index), self.rank
        if given.size != 1 or (rank is not None and given.ndim > rank):
            raise ValueError(f"{node}: {node.input(index)!r} has shape {given.shape}, expected one number")
        return short_number(given.item()) if self.dtype == np.float32 else float(given.item())

    def join_row_axes(self, node: Node) -> None:
        """Join all axes but the first; where there are more, the model itself will take rows that are joined."""
        if self.rank == 2:
            return
        if self.positional or self.rank in (0, 1):
            raise ValueError(f"{node} of values of shape {self.shape} after a layer that needs these axes")
        self.shape = (self.shape[0] if self.shape else None, self.row_features)
