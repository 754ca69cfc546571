"""How each operator is read: as a layer, as part of the layer before, or as nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relu_layers import layers
from relu_layers._files.document import refuse_too_many_layers
from relu_layers._files.formulas import written_as
from relu_layers._support.configured import Array
from relu_layers.formats.onnx import _operators as operators
from relu_layers.formats.onnx._chain import Chain, Comparison, Made
from relu_layers.formats.onnx._composed import activation_at, composed
from relu_layers.formats.onnx._folding import FOLDED, cast_dtype, folded, row_of, scaled
from relu_layers.formats.onnx._graph import Graph, Node


def chain_of(graph: Graph) -> Chain:
    """Return the layers of a graph whose nodes follow one another; a ValueError names the node that does not."""
    chain = Chain(graph)
    index = 0
    while index < len(graph.nodes):
        found = None if chain.comparison else activation_at(graph.nodes, index, chain.current)
        if found is None:
            _read(chain, graph.nodes[index])
            index += 1
        else:
            kind, count = found
            chain.add(layers.BUILT_IN[kind])
            index += count
            chain.current = graph.nodes[index - 1].outputs[0]
    chain.finish()
    refuse_too_many_layers(len(chain.layers))
    return chain


def _read(chain: Chain, node: Node) -> None:
    if node.op_type in FOLDED and all(name in chain.constants for name in node.inputs):
        chain.constants[node.outputs[0]] = folded(node, chain.constants)
        return
    waiting = chain.comparison
    if waiting is not None and node.op_type != "Where":
        raise ValueError(
            f"{node} stands between a {waiting.op_type} and its Where: only layers in a row are read"
        )
    for name in filter(None, node.inputs):
        if name not in chain.constants and name not in (chain.current, waiting and waiting.name):
            raise ValueError(
                f"{node} takes {name!r}, but the layer before gives {chain.current!r}: "
                "only layers in a row are read, no branches"
            )
    reader = _READERS.get(node.op_type)
    if reader is None:
        raise ValueError(f"{node} is read only where what it takes is constant")
    reader(chain, node)
    if chain.comparison is None:
        chain.current = node.outputs[0]


# --- products ---


def _gemm(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if node.attributes["transA"]:
        raise ValueError(f"{node}: transA is set, expected rows as they come")
    if chain.rank not in (None, 2):
        raise ValueError(f"{node} takes a matrix, but gets values of shape {chain.shape}")
    if chain.shape is None:
        chain.shape = (None, None)
    weight = chain.operand(node)
    if weight.ndim == 2 and node.attributes["transB"]:
        weight = weight.T
    bias, beta = None, operators.number_of(node, "beta")
    if node.input(2) and beta != 0.0 and weight.ndim == 2:
        given = chain.operand(node, 2)
        operators.check_broadcast(node, (chain.shape[0], weight.shape[1]), given.shape)
        bias = scaled(row_of(node, given, weight.shape[1], 2), beta)
    _dense(chain, node, scaled(weight, operators.number_of(node, "alpha")), bias)


def _matmul(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    _dense(chain, node, chain.operand(node), None)


def _dense(chain: Chain, node: Node, weight: Array, bias: Array | None) -> None:
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"{node}: its weight has shape {weight.shape}, expected a matrix")
    inputs, outputs = weight.shape
    shape = chain.shape
    if shape is not None and (len(shape) < 2 or shape[-1] not in (None, inputs)):
        raise ValueError(f"{node} takes {inputs} features, but gets values of shape {shape}")
    params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    chain.add(lambda: layers.Dense(inputs, outputs, bias=bias is not None), **params)
    chain.positional |= chain.rank != 2
    chain.shape = None if shape is None else (*shape[:-1], outputs)


def _plus(chain: Chain, node: Node) -> None:
    """Fold a constant into the bias of the Dense before."""
    before = chain.layers[-1] if chain.layers else None
    if before is None or "weight" not in before.params:
        raise ValueError(f"{node} follows no product: it is read as the bias of the Gemm or MatMul before it")
    at = int(node.input(0) == chain.current)
    if not at and node.version < 7:
        raise ValueError(f"{node}: before opset 7 its constant must be input 1")
    given = chain.operand(node, at)
    operators.check_broadcast(node, chain.shape, given.shape)
    weight, bias = before.params["weight"], before.params.get("bias")
    inputs, outputs = weight.shape
    more = row_of(node, given, outputs, chain.rank)
    with np.errstate(all="ignore"):
        total = more if bias is None else bias + more
    chain.layers[-1] = Made(lambda: layers.Dense(inputs, outputs), {"weight": weight, "bias": total})


# --- activations ---


class _Elementwise(NamedTuple):
    """A layer, and the attributes that are its arguments."""

    make: Callable[..., layers.Layer]
    attributes: tuple[str, ...] = ()


_ELEMENTWISE = {
    "Relu": _Elementwise(layers.ReLU),
    "LeakyRelu": _Elementwise(layers.ReLU, ("alpha",)),
    "Elu": _Elementwise(layers.ELU, ("alpha",)),
    "ThresholdedRelu": _Elementwise(lambda alpha: layers.Threshold(alpha, 0.0), ("alpha",)),
}


def _elementwise(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    make, attributes = _ELEMENTWISE[node.op_type]
    values = [operators.short_number(operators.number_of(node, name)) for name in attributes]
    if node.op_type == "Elu" and values[0] < 0.0:
        raise ValueError(f"{node}: alpha is {values[0]}, expected at least 0")
    chain.add(lambda: make(*values))


def _part(chain: Chain, node: Node) -> None:
    """Refuse an operator of activations without settings where it makes none of them."""
    chain.check_takes_current(node)
    forms = [text for text in written_as("onnx").values() if f"{node.op_type}-" in text]
    raise ValueError(f"{node} is read only in {' or '.join(forms)}")


def _prelu(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    slope, rank = chain.operand(node), chain.rank
    features = slope.size
    fits = features > 0 and (rank is None or slope.ndim <= rank)
    if fits and features > 1:
        # Before version 7 the slopes were those of axis 1, the channels; since then the shapes broadcast.
        fits = slope.shape[-1] == features if node.version >= 7 else rank == 2 and slope.ndim == 1
        fits = fits and (not chain.shape or chain.shape[-1] in (None, features))
        chain.positional |= rank != 2
    if not fits:
        raise ValueError(
            f"{node}: slopes of shape {slope.shape} for values of shape {chain.shape}, "
            "expected one, or one for each feature of the last axis"
        )
    chain.add(lambda: layers.PReLU(features), slope=slope.reshape(-1))


def _softmax(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    rank = chain.rank
    axis = operators.axis_of(node, rank)
    if axis == -1 or (rank is not None and axis == rank - 1):
        axis = -1
    elif rank is None or operators.joins_axes(node):
        raise ValueError(
            f"{node}: axis {axis} of values of shape {chain.shape}, expected their last axis"
            + (", because before opset 13 any other stands for all axes behind it too" if rank else "")
        )
    kind = layers.Softmax if node.op_type == "Softmax" else layers.LogSoftmax
    chain.positional |= rank != 2
    chain.add(lambda: kind(axis))


def _dropout(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    ratio = operators.dropout_ratio(node, chain.constants)
    chain.add(lambda: layers.Dropout(ratio))


# --- nodes that leave values as they are ---


def _identity(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)


def _cast(chain: Chain, node: Node) -> None:
    to = cast_dtype(node)
    if to != chain.dtype:
        raise ValueError(f"{node} turns {chain.dtype} into {to}: expected one type throughout")


def _flatten(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if operators.axis_of(node, chain.rank, beyond=True) != 1:
        raise ValueError(f"{node}: axis {node.attributes['axis']} joins or splits rows, expected 1")
    chain.join_row_axes(node)


def _reshape(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    wanted = operators.target_shape(node, chain.constants)
    rows, features = chain.shape[0] if chain.shape else None, chain.row_features
    # What may stand for the number of rows, given what stands for the features.
    fine = [(-1, features), (rows, features), (rows, -1)]
    if not node.attributes.get("allowzero", 0):
        fine += [(0, features), (0, -1)]
    if wanted not in fine:
        raise ValueError(
            f"{node} of values of shape {chain.shape} to {wanted}, expected one row to stay one row"
        )
    chain.join_row_axes(node)


# --- Threshold, which is two nodes ---


def _compare(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    chain.comparison = Comparison(node.outputs[0], node.op_type, chain.number(node, 1))


def _where(chain: Chain, node: Node) -> None:
    found = chain.comparison
    kept = 1 if found is not None and found.op_type == "Greater" else 2
    if found is None or node.input(0) != found.name or node.input(kept) != chain.current:
        raise ValueError(
            f"{node} is no threshold: expected Where(x <= threshold, value, x) or its mirror image"
        )
    threshold, value = found.threshold, chain.number(node, 3 - kept)
    chain.comparison = None
    chain.add(lambda: layers.Threshold(threshold, value))


_READERS: dict[str, Callable[[Chain, Node], None]] = {
    **{step.op_type: _part for steps in composed().values() for step in steps},
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _plus,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "PRelu": _prelu,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Dropout": _dropout,
    "Identity": _identity,
    "Cast": _cast,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "LessOrEqual": _compare,
    "Greater": _compare,
    "Where": _where,
}
