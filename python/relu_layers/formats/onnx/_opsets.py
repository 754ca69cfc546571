"""The operators that are read: their newest known versions, and their schemas as the installed onnx has them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from onnx import AttributeProto, defs

from relu_layers._support.arguments import nearest
from relu_layers.formats.onnx._composed import composed
from relu_layers.formats.onnx._tensors import array_of

STANDARD = ("", "ai.onnx")
ML = "ai.onnx.ml"

# The operators that are read, and the newest version of each whose meaning is known here. What comes later may mean
# something else.
NEWEST = {
    "Gemm": 13, "MatMul": 13, "Add": 14, "Sub": 14, "Mul": 14, "Div": 14, "BatchNormalization": 15, "Relu": 14,
    "LeakyRelu": 16, "PRelu": 16, "Elu": 22, "ThresholdedRelu": 22, "Gelu": 20, "Clip": 13, "Max": 13, "Min": 13,
    "Softmax": 13, "LogSoftmax": 13,
    "Flatten": 25, "Reshape": 25, "Dropout": 22, "Identity": 25, "Cast": 28, "Constant": 25,
    "Transpose": 25, "Where": 16, "Greater": 13, "LessOrEqual": 16,
    **{step.op_type: step.version for steps in composed().values() for step in steps},
}  # fmt: skip
# Those that make no layer by themselves: Exp in an ELU of several nodes, Erf and Pow in a GELU, the lengths in a
# Reshape, columns, what makes a label of scores, Abs of what a Relu gives.
AROUND = {
    "Shape": 25,
    "Gather": 13,
    "Concat": 13,
    "Unsqueeze": 25,
    "Squeeze": 25,
    "Split": 18,
    "ArgMax": 13,
    "Abs": 13,
    "Exp": 13,
    "Erf": 13,
    "Pow": 15,
}
AROUND_ML = {"Scaler": 1, "ArrayFeatureExtractor": 1, "ZipMap": 1}

_ROW_STATISTICS = "it normalises each row by the row's own numbers, which no layer here does"
_SPATIAL = "it works on images or sequences, and layers here take rows of numbers"
_RECURRENT = "it has a state from step to step, and layers here have none"
_QUANTIZED = "it computes with integers; export the network before it was quantized"
_CONTROL = "it chooses nodes while it runs, and layers here stand in a row"
_REASONS = {
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization",
                     "MeanVarianceNormalization", "LpNormalization", "ReduceMean"), _ROW_STATISTICS),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN",
                     "Resize", "Pad", "DepthToSpace", "Attention"), _SPATIAL),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Scan"), _RECURRENT),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "QLinearMatMul", "MatMulInteger", "QLinearConv",
                     "DynamicQuantizeLinear"), _QUANTIZED),
    **dict.fromkeys(("If", "Loop"), _CONTROL),
}  # fmt: skip


def why_not(op_type: str, domain: str) -> str:
    """Return the end of the message that refuses an operator: the reason, or the name that was meant."""
    if domain == ML:
        return f"; of {ML} are read {', '.join(AROUND_ML)}"
    # An operator that ONNX has is no slip of the pen. Protobuf gives bytes for what is no text.
    known = isinstance(op_type, str) and defs.has(op_type)
    reason = _REASONS.get(op_type)
    if reason is not None:
        hint = f": {reason}; ONNX Runtime runs the file as it is"
    else:
        hint = "" if known or not isinstance(op_type, str) else nearest(op_type, NEWEST)
    return f"{hint}; supported are {', '.join([*NEWEST, *AROUND])}"


class Schema(NamedTuple):
    """An operator in onnx: numbers of inputs and outputs, kinds and defaults of its attributes."""

    version: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    kinds: dict[str, str]
    required: tuple[str, ...]
    defaults: dict[str, Any]


@cache
def schema_of(op_type: str, opset: int, domain: str = "") -> Schema | None:
    """Return the operator as it is at ``opset``, None if it came later."""
    try:
        found = defs.get_schema(op_type, opset, domain)
    except defs.SchemaError:
        return None
    attributes = found.attributes
    kinds = {name: attribute.type.name for name, attribute in attributes.items()}
    given = {name: attribute.default_value for name, attribute in attributes.items()}
    return Schema(
        found.since_version,
        (found.min_input, found.max_input),
        (found.min_output, found.max_output),
        kinds,
        tuple(name for name, attribute in attributes.items() if attribute.required),
        {name: attribute_of(value, kinds[name]) for name, value in given.items() if value.name},
    )


def attributes_of(protos: Iterable[Any], schema: Schema) -> dict[str, Any]:
    """Return the given attributes, then the defaults of the others."""
    known = schema.kinds
    result: dict[str, Any] = {}
    for proto in protos:
        if proto.name not in known:
            expected = f"expected {', '.join(known)}" if known else "expected none"
            raise ValueError(f"attribute {proto.name!r} is unknown, {expected}{nearest(proto.name, known)}")
        if proto.name in result:
            raise ValueError(f"attribute {proto.name!r} is there twice")
        result[proto.name] = attribute_of(proto, known[proto.name])
    for name in schema.required:
        if name not in result:
            raise ValueError(f"attribute {name!r} is missing")
    return schema.defaults | result


def attribute_of(proto: Any, expected: str) -> Any:
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
        case "STRINGS":
            return tuple(bytes(text) for text in proto.strings)
        case _:
            raise ValueError(f"attribute {proto.name!r} is {expected}, which is not read")
