"""Description of an ONNX file, also of one that cannot be read as a model."""

from __future__ import annotations

from os import fsdecode
from typing import Any

import onnx

from relu_layers._support.files import AnyPath
from relu_layers.formats.onnx._graph import node_of
from relu_layers.formats.onnx._load import bytes_of, proto_of
from relu_layers.formats.onnx._metadata import AROUND_NETWORK, NETWORK, PREPROCESSING
from relu_layers.formats.onnx._opsets import ML, STANDARD

# A graph of more nodes is listed up to here.
_MOST_NODES = 1000


def describe(path: AnyPath) -> dict[str, Any]:
    """Return version, producer, inputs, outputs and nodes of an ONNX file; a damaged one is a ValueError.

    Returns
    -------
    description : dict
        ``"parts"`` lists the nodes: ``{"name", "type", "problem"}``, the problem "" where the node is supported.
    """
    where = fsdecode(path)
    try:
        proto = proto_of(bytes_of(where))
    except ValueError as error:
        raise ValueError(f"{where} cannot be read: {error}") from None
    opsets = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
    opset = next((version for domain, version in opsets.items() if domain in STANDARD), 1)
    opset_ml = opsets.get(ML, 1)
    # What `save` puts around a network is passed over by `load`.
    own = any(entry.key == NETWORK for entry in proto.metadata_props)
    constants = {tensor.name for tensor in proto.graph.initializer}
    return {
        "opset": ", ".join(f"{domain} {version}" for domain, version in opsets.items()),
        "IR version": int(proto.ir_version),
        "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
        "inputs": [_value(value) for value in proto.graph.input if value.name not in constants],
        "outputs": [_value(value) for value in proto.graph.output],
        "initializers": len(constants),
        "preprocessing": any(entry.key == PREPROCESSING for entry in proto.metadata_props),
        "parts": [_part(node, opset, opset_ml, own=own) for node in proto.graph.node[:_MOST_NODES]],
        "parts in all": len(proto.graph.node),
    }


def _value(value: Any) -> str:
    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if _known(tensor.elem_type) else "?"
    lengths = [
        dim.dim_param or (str(dim.dim_value) if dim.dim_value > 0 else "?") for dim in tensor.shape.dim
    ]
    return f"{value.name}: {kind} ({', '.join(lengths)})"


def _known(kind: int) -> bool:
    return kind in onnx.TensorProto.DataType.values()


def _part(node: Any, opset: int, opset_ml: int, *, own: bool) -> dict[str, str]:
    problem = ""
    try:
        if not (own and node.name.startswith(AROUND_NETWORK)):
            node_of(node, opset, opset_ml)
    except ValueError as error:
        problem = str(error)
    return {"name": node.name, "type": node.op_type, "problem": problem}
