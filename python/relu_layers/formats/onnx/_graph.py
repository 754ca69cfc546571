"""ModelProto to a graph of plain values: nodes that are supported, constants, one opset; everything checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import defs

from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array
from relu_layers.formats.onnx._external import External
from relu_layers.formats.onnx._opsets import (
    AROUND,
    AROUND_ML,
    ML,
    NEWEST,
    STANDARD,
    attributes_of,
    schema_of,
    why_not,
)
from relu_layers.formats.onnx._tensors import array_of


@dataclass(frozen=True)
class Node:
    """A node whose attributes are complete: those that the file leaves out have the defaults of its version.

    ``version`` is that of the operator's last change at the opset of the file; by it meanings differ.
    """

    index: int
    name: str
    op_type: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return _shown(self.index, self.name, self.op_type)

    def input(self, index: int) -> str:
        """Return the name of an input, "" where an optional one is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True)
class Value:
    """An input or output: its name, element type, and shape with None where a length is open; None if unknown."""

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Graph:
    """The part of a model that some of its outputs need, nodes in order of execution."""

    nodes: tuple[Node, ...]
    constants: dict[str, Array]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    metadata: dict[str, str]


def graph_of(
    model: Any, output: str | None = None, external: External | None = None, *, source: str | None = None
) -> Graph:
    """Return the graph of a ModelProto, or the part of it that leads to ``output``.

    ``external`` reads what tensors keep outside the file; without it that is refused. With ``source``, a value inside
    the graph is the input, and what it comes from is not looked at.

    Raises
    ------
    ValueError
        There is no such output, a needed node is not supported or not valid, or the opset is too new.
    """
    opset = _opset(model)
    opset_ml = next((entry.version for entry in model.opset_import if entry.domain == ML), 1)
    graph = model.graph
    if not len(graph.output):
        raise ValueError("it has no output")
    chosen = list(graph.output)
    if output is not None:
        names = [each.name for each in chosen]
        if output not in names:
            raise ValueError(
                f"output is {output!r}, expected one of {', '.join(names)}{nearest(output, names)}"
            )
        chosen = [each for each in chosen if each.name == output]
    zipped = {name for node in graph.node if node.op_type == "ZipMap" for name in node.output}
    outputs = tuple(Value(each.name, 0, None) if each.name in zipped else _value(each) for each in chosen)
    if len(graph.sparse_initializer):
        raise ValueError("it has sparse initializers, which are not read")
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    if len(initializers) != len(graph.initializer):
        raise ValueError("two initializers have the same name")
    needed, wanted = _needed(graph.node, [value.name for value in outputs], source)
    nodes = tuple(_node(index, graph.node[index], opset, opset_ml) for index in needed)
    constants = {name: array_of(tensor, external) for name, tensor in initializers.items() if name in wanted}
    # Before IR version 4 every initializer is among the inputs too.
    given = graph.input if source is None else [each for each in graph.value_info if each.name == source]
    inputs = tuple(_value(each) for each in given if each.name not in initializers)
    _check_names(nodes, [value.name for value in inputs], list(constants), outputs)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return Graph(nodes, constants, inputs, outputs, metadata)


def check_texts(names: Iterable[Any]) -> None:
    """Raise unless names of values are texts: protobuf gives bytes for what is none."""
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"a value has the name {name[:50]!r}, which is no text")


def _shown(index: int, name: str, op_type: str) -> str:
    """Return how messages name a node."""
    return f"node {index}{f' {name!r}' if name else ''} ({op_type})"


def node_of(proto: Any, opset: int, opset_ml: int = 1) -> Node:
    """Return the Node of a NodeProto that stands alone."""
    return _node(0, proto, opset, opset_ml)


def _opset(model: Any) -> int:
    """Return the version of ONNX's own operators that the model asks for."""
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise ValueError(f"IR version {model.ir_version} is unknown, expected 1 to {onnx.IR_VERSION}")
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD]
    if not versions and model.ir_version < 3:  # which had no place for it
        return 1
    if len(versions) != 1:
        raise ValueError(f"it imports {len(versions)} opsets of ONNX, expected one")
    newest = defs.onnx_opset_version()
    if not 0 < versions[0] <= newest:
        raise ValueError(f"opset {versions[0]} is unknown to onnx {onnx.__version__}, expected 1 to {newest}")
    return int(versions[0])


def _value(proto: Any) -> Value:
    check_texts([proto.name])
    kind = proto.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ValueError(
            f"{proto.name!r} is a {(kind or 'value without a type').replace('_', ' ')}, not a tensor"
        )
    tensor = proto.type.tensor_type
    if not tensor.HasField("shape"):
        return Value(proto.name, tensor.elem_type, None)
    # Exporters have written 0 and -1 for lengths that are open.
    shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    return Value(proto.name, tensor.elem_type, shape)


def _needed(nodes: Sequence[Any], outputs: Iterable[str], source: str | None) -> tuple[list[int], set[str]]:
    """Return the indices of the nodes that lead to ``outputs``, and all names that are used on the way."""
    wanted = set(outputs)
    indices = []
    # Some programs write constants behind the nodes that take them.
    order = sorted(range(len(nodes)), key=lambda index: nodes[index].op_type != "Constant")
    for index in reversed(order):
        if not wanted.isdisjoint(name for name in nodes[index].output if name and name != source):
            indices.append(index)
            wanted.update(nodes[index].input)
    return indices[::-1], wanted


def _node(index: int, proto: Any, opset: int, opset_ml: int) -> Node:
    name, op_type, domain = proto.name, proto.op_type, proto.domain
    shown = _shown(index, name, op_type)
    if domain not in (*STANDARD, ML):
        raise ValueError(f"{shown} is of {domain}: only operators of ONNX itself are read")
    newest = AROUND_ML.get(op_type) if domain == ML else NEWEST.get(op_type, AROUND.get(op_type))
    if newest is None:
        raise ValueError(f"{shown} is not supported{why_not(op_type, domain)}")
    version = opset_ml if domain == ML else opset
    schema = schema_of(op_type, version, domain if domain == ML else "")
    if schema is None:
        raise ValueError(f"{shown}: there is no {op_type} in opset {version}")
    if schema.version > newest:
        raise ValueError(f"{shown} is of version {schema.version}, known up to {newest}")
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    check_texts((*inputs, *outputs))
    for what, names, (least, most) in (
        ("inputs", inputs, schema.inputs),
        ("outputs", outputs, schema.outputs),
    ):
        if not least <= len(names) <= most or not all(names[:least]):
            raise ValueError(f"{shown} has {len(names)} {what}, expected {least} to {most}")
    try:
        attributes = attributes_of(proto.attribute, schema)
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    return Node(index, name, op_type, schema.version, inputs, outputs, attributes)


def _check_names(
    nodes: Iterable[Node], inputs: Iterable[str], constants: Iterable[str], outputs: Iterable[Value]
) -> None:
    """Raise unless every name is given once, and before it is used."""
    given: set[str] = set()
    for name in (*inputs, *constants):
        if name in given:
            raise ValueError(f"{name!r} is given twice")
        given.add(name)
    for node in nodes:
        for name in node.inputs:
            if name and name not in given:
                raise ValueError(f"{node}: nothing before it gives its input {name!r}")
        for name in filter(None, node.outputs):
            if name in given:
                raise ValueError(f"{node}: its output {name!r} is given already")
            given.add(name)
    for value in outputs:
        if value.name not in given:
            raise ValueError(f"nothing gives the output {value.name!r}")
