"""ModelProto to a graph of plain values: nodes that are supported, constants, one opset; everything checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import onnx
from onnx import AttributeProto, defs

from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array
from relu_layers.formats.onnx._composed import composed
from relu_layers.formats.onnx._tensors import array_of

# The operators that are read, and the newest version of each whose meaning is known here. What comes later may mean
# something else.
NEWEST = {
    "Gemm": 13, "MatMul": 13, "Add": 14, "Relu": 14, "LeakyRelu": 16, "PRelu": 16, "Elu": 22,
    "ThresholdedRelu": 22, "Softmax": 13, "LogSoftmax": 13, "Flatten": 25, "Reshape": 25, "Dropout": 22,
    "Identity": 25, "Cast": 28, "Constant": 25, "Transpose": 25, "Where": 16, "Greater": 13, "LessOrEqual": 16,
    **{step.op_type: step.version for steps in composed().values() for step in steps},
}  # fmt: skip
_STANDARD = ("", "ai.onnx")


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


def graph_of(model: Any, output: str | None = None) -> Graph:
    """Return the graph of a ModelProto, or the part of it that leads to ``output``.

    Raises
    ------
    ValueError
        There is no such output, a needed node is not supported or not valid, or the opset is too new.
    """
    opset = _opset(model)
    graph = model.graph
    outputs = tuple(_value(each) for each in graph.output)
    if not outputs:
        raise ValueError("it has no output")
    if output is not None:
        names = [value.name for value in outputs]
        if output not in names:
            raise ValueError(
                f"output is {output!r}, expected one of {', '.join(names)}{nearest(output, names)}"
            )
        outputs = tuple(value for value in outputs if value.name == output)
    if len(graph.sparse_initializer):
        raise ValueError("it has sparse initializers, which are not read")
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    if len(initializers) != len(graph.initializer):
        raise ValueError("two initializers have the same name")
    needed, wanted = _needed(graph.node, [value.name for value in outputs])
    nodes = tuple(_node(index, graph.node[index], opset) for index in needed)
    constants = {name: array_of(tensor) for name, tensor in initializers.items() if name in wanted}
    # Before IR version 4 every initializer is among the inputs too.
    inputs = tuple(_value(each) for each in graph.input if each.name not in initializers)
    _check_names(nodes, [value.name for value in inputs], list(constants), outputs)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return Graph(nodes, constants, inputs, outputs, metadata)


def _shown(index: int, name: str, op_type: str) -> str:
    """Return how messages name a node."""
    return f"node {index}{f' {name!r}' if name else ''} ({op_type})"


def node_of(proto: Any, opset: int) -> Node:
    """Return the Node of a NodeProto that stands alone."""
    return _node(0, proto, opset)


def _opset(model: Any) -> int:
    """Return the version of ONNX's own operators that the model asks for."""
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise ValueError(f"IR version {model.ir_version} is unknown, expected 1 to {onnx.IR_VERSION}")
    versions = [entry.version for entry in model.opset_import if entry.domain in _STANDARD]
    if not versions and model.ir_version < 3:  # which had no place for it
        return 1
    if len(versions) != 1:
        raise ValueError(f"it imports {len(versions)} opsets of ONNX, expected one")
    newest = defs.onnx_opset_version()
    if not 0 < versions[0] <= newest:
        raise ValueError(f"opset {versions[0]} is unknown to onnx {onnx.__version__}, expected 1 to {newest}")
    return int(versions[0])


def _value(proto: Any) -> Value:
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


def _needed(nodes: Sequence[Any], outputs: Iterable[str]) -> tuple[list[int], set[str]]:
    """Return the indices of the nodes that lead to ``outputs``, and all names that are used on the way."""
    wanted = set(outputs)
    indices = []
    for index in range(len(nodes) - 1, -1, -1):
        if not wanted.isdisjoint(name for name in nodes[index].output if name):
            indices.append(index)
            wanted.update(nodes[index].input)
    return indices[::-1], wanted


def _node(index: int, proto: Any, opset: int) -> Node:
    name, op_type, domain = proto.name, proto.op_type, proto.domain
    shown = _shown(index, name, op_type)
    if domain not in _STANDARD:
        raise ValueError(f"{shown} is of {domain}: only operators of ONNX itself are read")
    if op_type not in NEWEST:
        raise ValueError(
            f"{shown} is not supported{nearest(op_type, NEWEST)}; supported are {', '.join(NEWEST)}"
        )
    schema = _schema(op_type, opset)
    if schema is None:
        raise ValueError(f"{shown}: there is no {op_type} in opset {opset}")
    if schema.version > NEWEST[op_type]:
        raise ValueError(f"{shown} is of version {schema.version}, known up to {NEWEST[op_type]}")
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    for what, names, (least, most) in (
        ("inputs", inputs, schema.inputs),
        ("outputs", outputs, schema.outputs),
    ):
        if not least <= len(names) <= most or not all(names[:least]):
            raise ValueError(f"{shown} has {len(names)} {what}, expected {least} to {most}")
    try:
        attributes = _attributes(proto.attribute, schema)
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    return Node(index, name, op_type, schema.version, inputs, outputs, attributes)


class _Schema(NamedTuple):
    """An operator in onnx: numbers of inputs and outputs, kinds and defaults of its attributes."""

    version: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    kinds: dict[str, str]
    required: tuple[str, ...]
    defaults: dict[str, Any]


@cache
def _schema(op_type: str, opset: int) -> _Schema | None:
    """Return the operator as it is at ``opset``, None if it came later."""
    try:
        found = defs.get_schema(op_type, opset)
    except defs.SchemaError:
        return None
    attributes = found.attributes
    kinds = {name: attribute.type.name for name, attribute in attributes.items()}
    given = {name: attribute.default_value for name, attribute in attributes.items()}
    return _Schema(
        found.since_version,
        (found.min_input, found.max_input),
        (found.min_output, found.max_output),
        kinds,
        tuple(name for name, attribute in attributes.items() if attribute.required),
        {name: _attribute(value, kinds[name]) for name, value in given.items() if value.name},
    )


def _attributes(protos: Iterable[Any], schema: _Schema) -> dict[str, Any]:
    """Return the given attributes, then the defaults of the others."""
    known = schema.kinds
    result: dict[str, Any] = {}
    for proto in protos:
        if proto.name not in known:
            expected = f"expected {', '.join(known)}" if known else "expected none"
            raise ValueError(f"attribute {proto.name!r} is unknown, {expected}{nearest(proto.name, known)}")
        if proto.name in result:
            raise ValueError(f"attribute {proto.name!r} is there twice")
        result[proto.name] = _attribute(proto, known[proto.name])
    for name in schema.required:
        if name not in result:
            raise ValueError(f"attribute {name!r} is missing")
    return schema.defaults | result


def _attribute(proto: Any, expected: str) -> Any:
    """Return the value of an attribute, which must be of the kind that the operator expects."""
    found = AttributeProto.AttributeType.Name(proto.type)
    # The first IR version had no type; the value shows it.
    if proto.type not in (AttributeProto.UNDEFINED, AttributeProto.AttributeType.Value(expected)):
        raise ValueError(f"attribute {proto.name!r} is {found}, expected {expected}")
    if proto.ref_attr_name:
        raise ValueError(f"attribute {proto.name!r} refers to a function's, but this is none")
    match expected:
        case "FLOAT":
            return float(proto.f)
        case "INT":
            return int(proto.i)
        case "STRING":
            return bytes(proto.s)
        case "FLOATS":
            return tuple(proto.floats)
        case "INTS":
            return tuple(proto.ints)
        case "TENSOR":
            return array_of(proto.t)
        case _:
            raise ValueError(f"attribute {proto.name!r} is {expected}, which is not read")


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
