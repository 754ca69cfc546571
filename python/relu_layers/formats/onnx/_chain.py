"""The layers that have been read so far, and the known facts about the output of the last one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._affine import Affine, row_shaped
from relu_layers.formats.onnx._graph import Graph, Node
from relu_layers.formats.onnx._lengths import Lengths
from relu_layers.formats.onnx._operators import short_number
from relu_layers.formats.onnx._tensors import READ_AS, type_name
from relu_layers.layers import Dense, Layer

Shape = tuple[int | None, ...] | None


# A diagonal Dense, for constants that stand beside no other, is no larger.
_MOST_DIAGONAL = 512


class Made(NamedTuple):
    """A layer to be made, the values of its parameters, and the operator and the value that it was made from."""

    make: Callable[[], Layer]
    params: dict[str, Array]
    op_type: str = ""
    source: str = ""


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
    pending : Affine or None
        Factor and summand that the next Dense takes in.
    vector, columns, squeezed, labels, laid_out : bool
        Whether the value has no axis of rows; has its rows as columns; has lost a last axis of length 1; is what a
        classifier makes of its scores; is the output, all numbers of all rows under one another.
    lengths : dict
        Values that are lengths of axes.
    used : set of str
        Names that a node or output takes.
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
        if source.kind not in READ_AS:
            kinds = ", ".join(map(type_name, READ_AS))
            raise ValueError(f"input {source.name!r} is {type_name(source.kind)}, expected one of {kinds}")
        self.layers: list[Made] = []
        self.constants = dict(graph.constants)
        self.dtype = READ_AS[source.kind]
        self.current = source.name
        self.shape: Shape = source.shape
        self.positional = False
        self.comparison: Comparison | None = None
        self.pending: Affine | None = None
        self.columns = self.squeezed = self.labels = self.laid_out = False
        self.vector = source.shape is not None and len(source.shape) == 1
        if self.vector:
            self.shape = (None, *(source.shape or ()))
        self.lengths: dict[str, Lengths] = {}
        self.used = used
        self._same: dict[str, str] = {}

    def finish(self) -> None:
        """Raise unless the last layer gives the declared output."""
        target = self._target
        self.settle()
        if self.current != self.known_as(target.name):
            raise ValueError(
                f"output {target.name!r} does not come from the last layer, which gives {self.current!r}"
            )
        if not self.layers:
            raise ValueError("it has no layer: its output is its input")
        if self.labels:
            return
        if READ_AS.get(target.kind) != self.dtype:
            raise ValueError(
                f"output {target.name!r} is {type_name(target.kind)}, but the input is {self.dtype}"
            )
        if target.shape is not None and self.shape is not None and not self.laid_out:
            shape = self.shape[1:] if self.vector else self.shape[:-1] if self.squeezed else self.shape
            shape = shape[::-1] if self.columns else shape
            pairs = zip(target.shape, shape, strict=False)
            if len(target.shape) != len(shape) or any(
                None not in pair and pair[0] != pair[1] for pair in pairs
            ):
                raise ValueError(
                    f"output {target.name!r} is declared as {target.shape}, but comes as {shape}"
                )

    def add(self, make: Callable[[], Layer], op_type: str = "", **params: Array) -> None:
        """Append a layer that takes the current value."""
        self.layers.append(Made(make, params, op_type, self.current))

    def add_dense(self, weight: Array, bias: Array | None) -> None:
        """Append a Dense."""
        inputs, outputs = weight.shape
        params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        self.add(lambda: Dense(inputs, outputs, bias=bias is not None), "Dense", **params)

    def replace_dense(self, weight: Array, bias: Array | None) -> None:
        """Put another Dense where the last layer is."""
        source = self.layers.pop().source
        self.add_dense(weight, bias)
        self.layers[-1] = self.layers[-1]._replace(source=source)

    def same(self, name: str, other: str) -> None:
        """Note that a value is another one under a second name."""
        self._same[name] = self.known_as(other)

    def known_as(self, name: str) -> str:
        """Return the first name of a value."""
        return self._same.get(name, name)

    def affine(self, node: Node, scale: Array, shift: Array) -> None:
        """Multiply the current value with constants and add others: in the Dense before, or in the next."""
        scale, shift = (row_shaped(node, each, self.shape) for each in (scale, shift))
        last = self.layers[-1] if self.layers else None
        if self.pending is not None:
            self.pending = self.pending.then(scale, shift, node)
        elif (
            last is not None
            and last.op_type == "Dense"
            and not (self.squeezed and scale.size > 1 < shift.size)
        ):
            self._into_last(Affine(scale, shift, self.current, node))
        else:
            self.pending = Affine(scale, shift, self.current, node)

    def _into_last(self, affine: Affine) -> None:
        weight, bias = self.layers[-1].params["weight"], self.layers[-1].params.get("bias")
        scale, shift = affine.row(weight.shape[1])
        before = 0.0 if bias is None else bias.astype(np.float64)
        if (scale != 1.0).any():
            weight = (weight.astype(np.float64) * scale).astype(self.dtype)
        if bias is not None or affine.node.op_type not in ("Mul", "Div"):
            bias = np.asarray(before * scale + shift).astype(self.dtype)
        self.replace_dense(weight, bias)

    def taken_in(self, weight: Array, bias: Array | None) -> tuple[Array, Array | None]:
        """Return weight and bias of a Dense that does what is pending too."""
        if self.pending is None:
            return weight, bias
        scale, shift = self.pending.row(weight.shape[0])
        self.pending = None
        wide = weight.astype(np.float64)
        if shift.any():
            bias = np.asarray(shift @ wide + (0.0 if bias is None else bias)).astype(self.dtype)
        return np.asarray(wide * scale[:, None]).astype(self.dtype), bias

    def settle(self) -> None:
        """Make a diagonal Dense of what is pending, where the length of a row is known; else a ValueError."""
        if self.pending is None:
            return
        node = self.pending.node
        lengths = [each.shape[-1] for each in (self.pending.scale, self.pending.shift) if each.size > 1]
        features = next((length for length in ((self.shape or (None,))[-1], *lengths) if length), None)
        if features is None or features > _MOST_DIAGONAL or (self.rank or 2) > 2:
            raise ValueError(
                f"{node} follows no product and none follows it: constants go into the Gemm or MatMul beside them, or "
                f"by themselves become a Dense where they are for rows of at most {_MOST_DIAGONAL} numbers"
            )
        scale, shift = self.pending.row(features)
        self.pending = None
        weight, summand = np.diag(scale).astype(self.dtype), shift.astype(self.dtype)
        self.add_dense(weight, summand if shift.any() else None)
        self.positional |= self.rank != 2

    @property
    def target(self) -> str:
        """Name of the graph's output."""
        return self._target.name

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

    def constant(self, node: Node, index: int) -> Array:
        """Return an operand as it stands beside rows: transposed where the values are columns."""
        found = self.operand(node, index)
        if (self.vector and found.ndim > 1) or (self.columns and found.ndim != 2 and found.size > 1):
            raise ValueError(
                f"{node}: {node.input(index)!r} of shape {found.shape} does not keep a column a column"
            )
        return found.T if self.columns else found

    def number(self, node: Node, index: int) -> float:
        """Return an input that must be one constant number."""
        given, rank = self.operand(node, index), self.rank
        if given.size != 1 or (rank is not None and given.ndim > rank):
            raise ValueError(f"{node}: {node.input(index)!r} has shape {given.shape}, expected one number")
        return short_number(given.item()) if self.dtype == np.float32 else float(given.item())

    def join_row_axes(self, node: Node) -> None:
        """Join all axes but the first; where there are more, the model itself will take rows that are joined."""
        if self.columns or self.squeezed or self.vector:
            raise ValueError(f"{node}: expected rows")
        if self.rank == 2:
            return
        if self.positional or self.rank in (0, 1):
            raise ValueError(f"{node} of values of shape {self.shape} after a layer that needs these axes")
        if self.pending is not None:
            self.pending = self.pending.joined((None,) if self.shape is None else self.shape[1:])
        self.shape = (self.shape[0] if self.shape else None, self.row_features)
