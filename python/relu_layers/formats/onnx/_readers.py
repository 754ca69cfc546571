"""How each operator is read: as a layer, as part of the layer before, or as nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from relu_layers import layers
from relu_layers._files.document import refuse_too_many_layers
from relu_layers._support.configured import Array
from relu_layers.formats.onnx import _around as around
from relu_layers.formats.onnx import _operators as operators
from relu_layers.formats.onnx._arithmetic import Found, arithmetic_at
from relu_layers.formats.onnx._around import ASIDE
from relu_layers.formats.onnx._chain import Chain, Comparison
from relu_layers.formats.onnx._composed import activation_at
from relu_layers.formats.onnx._folding import FOLDED, cast_dtype, folded, keeps_type, row_of, scaled
from relu_layers.formats.onnx._graph import Graph, Node
from relu_layers.formats.onnx._labels import BEHIND_LABELS
from relu_layers.formats.onnx._lengths import ROWS, computed
from relu_layers.formats.onnx._selected import Selected, selected_at, softplus_at


def chain_of(graph: Graph) -> Chain:
    """Return the layers of a graph whose nodes follow one another; a ValueError names the node that does not."""
    chain = Chain(graph)
    nodes = _without_names(chain, graph.nodes)
    around.turn_columns(chain, nodes)
    index = 0
    while index < len(nodes):
        free = not (chain.comparison or chain.labels)
        chosen = selected_at(nodes, index, chain.current, chain.constants, chain.dtype) if free else None
        if chosen is None and free:
            chosen = softplus_at(nodes, index, chain.current, chain.constants)
        written = arithmetic_at(nodes, index, chain.current, chain.constants, chain.dtype) if free else None
        found = activation_at(nodes, index, chain.current) if free else None
        if written is not None:
            _written(chain, nodes[index], written)
            index += written.nodes
            chain.current = nodes[index - 1].outputs[0]
        elif chosen is not None:
            _selected(chain, chosen)
            index += chosen.nodes
            chain.current = nodes[index - 1].outputs[0]
        elif found is None:
            _read(chain, nodes[index])
            index += 1
        else:
            kind, count = found
            chain.settle()
            chain.add(layers.BUILT_IN[kind], kind)
            index += count
            chain.current = nodes[index - 1].outputs[0]
    chain.finish()
    refuse_too_many_layers(len(chain.layers))
    return chain


def _written(chain: Chain, node: Node, found: Found) -> None:
    nothing = np.zeros(1)
    if found.before != 1.0:
        chain.affine(node, np.array([found.before]), nothing)
    chain.settle()
    chain.add(lambda: layers.BUILT_IN[found.kind](*found.arguments), found.kind)
    if found.behind != 1.0:
        chain.affine(node, np.array([found.behind]), nothing)


def _selected(chain: Chain, chosen: Selected) -> None:
    slope = chosen.params.get("slope")
    if slope is not None and slope.size > 1:
        if not chain.shape or chain.shape[-1] not in (None, slope.size) or chain.vector or chain.columns:
            raise ValueError(f"slopes of shape {slope.shape} for values of shape {chain.shape}")
        chain.positional |= chain.rank != 2
    chain.settle()
    chain.add(chosen.make, "", **chosen.params)


def _without_names(chain: Chain, nodes: tuple[Node, ...]) -> list[Node]:
    """Return the nodes but those of constants, which are computed, and of second names; nodes take the first one."""
    computed, rectified = {chain.current}, set[str]()
    kept = []
    for each in nodes:
        node = replace(each, inputs=tuple(map(chain.known_as, each.inputs)))
        if node.op_type in FOLDED and all(name in chain.constants for name in node.inputs):
            chain.constants[node.outputs[0]] = folded(node, chain.constants)
            continue
        if not computed.isdisjoint(node.inputs):
            computed.update(node.outputs)
            if node.op_type == "Relu":
                rectified.update(node.outputs)
            if (
                node.op_type == "Identity"
                or (node.op_type == "Cast" and keeps_type(node, chain.dtype))
                or (node.op_type == "Abs" and node.input(0) in rectified)
            ):
                chain.same(node.outputs[0], node.input(0))
                continue
        kept.append(node)
    return kept


def _read(chain: Chain, node: Node) -> None:
    if node.op_type != "Reshape" and not chain.lengths.keys().isdisjoint(node.inputs):
        chain.lengths[node.outputs[0]] = computed(node, chain.lengths, chain.constants)
        return
    waiting = chain.comparison
    if waiting is not None and node.op_type != "Where":
        raise ValueError(
            f"{node} stands between a {waiting.op_type} and its Where: only layers in a row are read"
        )
    _check_branches(chain, node)
    reader = around.READERS.get(node.op_type) or _READERS.get(node.op_type)
    if reader is None:
        raise ValueError(f"{node} is read only where what it takes is constant")
    if chain.labels and node.op_type not in BEHIND_LABELS:
        raise ValueError(f"{node} computes with labels: only what goes before is read")
    if node.op_type not in _KEEP_PENDING:
        chain.settle()
    if chain.squeezed and node.op_type in _NEED_ROWS:
        raise ValueError(f"{node} follows a Squeeze: expected rows")
    if reader(chain, node) is not ASIDE and chain.comparison is None:
        chain.current = node.outputs[0]


def _check_branches(chain: Chain, node: Node) -> None:
    """Raise unless a node takes constants, the current value, or what belongs to it."""
    waiting, pending = chain.comparison, chain.pending
    allowed = {chain.current}
    if waiting is not None:
        allowed.add(waiting.name)
    if pending is not None and node.op_type == "Concat":
        allowed.add(pending.source)
    for name in filter(None, node.inputs):
        if name not in chain.constants and name not in chain.lengths and name not in allowed:
            raise ValueError(
                f"{node} takes {name!r}, but the layer before gives {chain.current!r}: "
                "only layers in a row are read, no branches"
            )


# Operators before which factors and summands may wait for the next Dense, and those that need the axis of features.
_KEEP_PENDING = (
    "Add", "Sub", "Mul", "Div", "BatchNormalization", "Scaler", "Gemm", "MatMul", "Flatten", "Reshape", "Shape",
    "Concat",
)  # fmt: skip
_NEED_ROWS = (
    "Gemm",
    "MatMul",
    "Softmax",
    "LogSoftmax",
    "PRelu",
    "BatchNormalization",
    "Split",
    "ArgMax",
    "Squeeze",
)


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
    turned = around.takes_columns(chain, node)
    if not turned:
        chain.check_takes_current(node)
    weight = chain.operand(node, 0 if turned else 1)
    _dense(chain, node, weight.T if turned else weight, None)


def _dense(chain: Chain, node: Node, weight: Array, bias: Array | None) -> None:
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"{node}: its weight has shape {weight.shape}, expected a matrix")
    inputs, outputs = weight.shape
    shape = chain.shape
    if shape is not None and (len(shape) < 2 or shape[-1] not in (None, inputs)):
        raise ValueError(f"{node} takes {inputs} features, but gets values of shape {shape}")
    weight, bias = chain.taken_in(weight, bias)
    chain.add_dense(weight, bias)
    chain.positional |= chain.rank != 2
    chain.shape = None if shape is None else (*shape[:-1], outputs)


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
    chain.add(lambda: make(*values), node.op_type)


def _gelu(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    form = node.attributes["approximate"]
    if form not in (b"none", b"tanh"):
        raise ValueError(f"{node}: approximate is {form!r}, expected none or tanh")
    chain.add(lambda: layers.GELU(form.decode()))


def _clip(chain: Chain, node: Node) -> None:
    """Read a Clip, or a Max or Min with one constant number."""
    low, high = -np.inf, np.inf
    if node.op_type == "Clip":
        chain.check_takes_current(node)
        if node.version < 11:
            low, high = (operators.short_number(operators.number_of(node, name)) for name in ("min", "max"))
            largest = operators.short_number(float(np.finfo(np.float32).max))
            low, high = (-np.inf if low == -largest else low), (np.inf if high == largest else high)
        else:
            low = chain.number(node, 1) if node.input(1) else low
            high = chain.number(node, 2) if node.input(2) else high
    else:
        at = int(node.input(0) == chain.current)
        if len(node.inputs) != 2:
            raise ValueError(f"{node} has {len(node.inputs)} inputs, expected a value and a constant number")
        chain.check_takes_current(node, 1 - at)
        number = chain.number(node, at)
        low, high = (number, high) if node.op_type == "Max" else (low, number)
    if not low < high:
        raise ValueError(f"{node}: its limits are {low} and {high}, expected the first below the second")
    chain.add(lambda: layers.Clip(low, high))


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


def _cast(chain: Chain, node: Node) -> None:
    if not chain.labels:
        raise ValueError(f"{node} turns {chain.dtype} into {cast_dtype(node)}: expected one type throughout")


def _flatten(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if operators.axis_of(node, chain.rank, beyond=True) != 1:
        raise ValueError(f"{node}: axis {node.attributes['axis']} joins or splits rows, expected 1")
    chain.join_row_axes(node)


def _reshape(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if chain.labels:
        return
    wanted = _wanted(chain, node)
    rows, features = chain.shape[0] if chain.shape else None, chain.row_features
    # What may stand for the number of rows, given what stands for the features.
    fine = [(-1, features), (rows, features), (rows, -1)]
    if not node.attributes.get("allowzero", 0):
        fine += [(0, features), (0, -1)]
    if node.outputs[0] == chain.target and chain.rank == 2 and wanted in ((-1, 1), (-1,)):
        chain.laid_out = True  # the same numbers in the same order, and nothing follows
        return
    if wanted not in fine:
        raise ValueError(
            f"{node} of values of shape {chain.shape} to {wanted}, expected one row to stay one row"
        )
    chain.join_row_axes(node)


def _wanted(chain: Chain, node: Node) -> tuple[int | None, ...]:
    """Return the shape that a Reshape is given; the open number of rows is None, as in a shape."""
    found = chain.lengths.get(node.input(1)) if node.version >= 5 else None
    if found is None:
        return operators.target_shape(node, chain.constants)
    if found.scalar or None in found.values or ROWS in found.values[1:]:
        raise ValueError(f"{node}: its shape is computed of lengths that are not known")
    return tuple(value if isinstance(value, int) else None for value in found.values)


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
    "Gemm": _gemm,
    "MatMul": _matmul,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Gelu": _gelu,
    **dict.fromkeys(("Clip", "Max", "Min"), _clip),
    "PRelu": _prelu,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Dropout": _dropout,
    "Cast": _cast,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "LessOrEqual": _compare,
    "Greater": _compare,
    "Where": _where,
}
