"""Readers of the nodes around layers: constants, columns, lengths of axes, and what follows a classifier's scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from relu_layers import layers
from relu_layers._files.formulas import written_as
from relu_layers._support.configured import Array
from relu_layers.formats.onnx import _affine as affine
from relu_layers.formats.onnx import _operators as operators
from relu_layers.formats.onnx._chain import Chain
from relu_layers.formats.onnx._composed import composed
from relu_layers.formats.onnx._folding import axes_of
from relu_layers.formats.onnx._graph import Node
from relu_layers.formats.onnx._labels import check_arg_max
from relu_layers.formats.onnx._lengths import of_shape

# What a reader returns whose output is not the current value of the chain.
ASIDE = object()


# --- parts of activations ---


_PARTS = {step.op_type for steps in composed().values() for step in steps}


def _part(chain: Chain, node: Node) -> None:
    """Refuse an operator of activations without settings where it makes none of them."""
    if len(node.inputs) == 1:
        chain.check_takes_current(node)
    forms = [text for text in written_as("onnx").values() if f"{node.op_type}-" in text]
    raise ValueError(f"{node} is read only in {' or '.join(forms)}")


def _exp(chain: Chain, node: Node) -> None:
    raise ValueError(
        f"{node} is read only in x > 0 ? x : alpha * (exp(x) - 1), as Exp, Sub, Mul, Greater, Where"
    )


def _part_of_gelu(chain: Chain, node: Node) -> None:
    raise ValueError(f"{node} is read only in a GELU: x / 2 * (1 + erf(x / sqrt(2))), or its form with tanh")


# --- constants ---


def _arithmetic(chain: Chain, node: Node) -> None:
    if chain.current not in node.inputs:
        raise ValueError(f"{node}: one of its inputs must be {chain.current!r}, got {', '.join(node.inputs)}")
    at = int(node.input(0) == chain.current)
    if node.op_type in _PARTS and node.input(at) not in chain.constants:
        _part(chain, node)
    if at == 0 and node.version < 7:
        raise ValueError(f"{node}: before opset 7 its constant must be input 1")
    given = chain.constant(node, at)
    operators.check_broadcast(node, chain.shape, given.shape)
    chain.affine(node, *affine.of_arithmetic(node, given, first=at == 0))


def _normalization(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if chain.vector or chain.columns or chain.rank is None or chain.rank < 2:
        raise ValueError(
            f"{node} of values of shape {chain.shape}, expected a known number of axes, rows first"
        )
    given = [chain.operand(node, index) for index in range(1, 5)]
    if given[0].size != (chain.shape or ())[1] and (chain.shape or ())[1] is not None:
        raise ValueError(f"{node} has {given[0].size} channels, but gets values of shape {chain.shape}")
    chain.affine(node, *affine.of_normalization(node, given, chain.rank))


def _scaler(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    offset, scale = (
        np.array(node.attributes.get(name, default), np.float64)
        for name, default in (("offset", (0.0,)), ("scale", (1.0,)))
    )
    chain.affine(node, scale, -offset * scale)


# --- columns ---


def turn_columns(chain: Chain, nodes: Sequence[Node]) -> None:
    """Note that the input is one column: the first product has its weight on the left, constants alone before it."""
    product = next((node for node in nodes if node.op_type not in ("Add", "Sub", "Mul", "Div")), None)
    if product is None or product.op_type != "MatMul" or product.input(1) in chain.constants:
        return
    weight, shape = chain.constants.get(product.input(0)), chain.shape
    if weight is None or shape is None or len(shape) != 2 or shape[0] is None or shape[1] not in (1, None):
        return
    if weight.shape[-1:] == shape[:1]:
        chain.columns, chain.shape = True, shape[::-1]


def takes_columns(chain: Chain, node: Node) -> bool:
    """Return whether a MatMul has its weight on the left: rows are columns there, or there is one value alone."""
    return chain.current == node.input(1) != node.input(0) and (chain.vector or chain.columns)


def _split(chain: Chain, node: Node) -> Any:
    """Keep those columns of the Dense before that one output of a Split takes on."""
    chain.check_takes_current(node)
    taken = [place for place, name in enumerate(node.outputs) if name in chain.used]
    last, rank = chain.layers[-1:], chain.rank
    axis = operators.axis_of(node, rank)
    if len(taken) != 1 or not last or last[0].op_type != "Dense" or rank is None or axis != rank - 1:
        raise ValueError(
            f"{node}: expected one of its outputs to be used, as columns of the Gemm or MatMul before it"
        )
    weight, bias = last[0].params["weight"], last[0].params.get("bias")
    sizes = _sizes(chain, node, weight.shape[1])
    start = sum(sizes[: taken[0]])
    kept = slice(start, start + sizes[taken[0]])
    chain.replace_dense(weight[:, kept], None if bias is None else bias[kept])
    chain.shape = (*(chain.shape or ())[:-1], sizes[taken[0]])
    chain.current = node.outputs[taken[0]]
    return ASIDE


def _sizes(chain: Chain, node: Node, length: int) -> tuple[int, ...]:
    """Return how long the outputs of a Split are: given, or all the same, the last perhaps shorter."""
    count = len(node.outputs)
    given = node.attributes.get("split") if node.version < 13 else None
    if node.version >= 13 and node.input(1):
        found = chain.constants.get(node.input(1))
        if found is None or found.dtype != np.int64 or found.ndim != 1:
            raise ValueError(f"{node}: the lengths {node.input(1)!r} are not constant")
        given = found.tolist()
    each = -(-length // count)
    sizes = tuple(given) if given is not None else (*[each] * (count - 1), length - each * (count - 1))
    if len(sizes) != count or sum(sizes) != length or min(sizes) < 1:
        raise ValueError(f"{node}: {length} columns in parts of {', '.join(map(str, sizes[:20]))}")
    return sizes


def _squeeze(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if chain.labels:
        return
    axes = axes_of(node, chain.constants)
    shape = chain.shape
    if (
        shape is None
        or len(shape) != 2
        or shape[1] != 1
        or axes not in ((-1,), (1,))
        or chain.vector
        or chain.columns
    ):
        raise ValueError(f"{node} of values of shape {shape}, expected it to drop a last axis of length 1")
    chain.squeezed = True


def _unsqueeze(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    if not chain.labels:
        if not chain.squeezed or axes_of(node, chain.constants) not in ((-1,), (1,)):
            raise ValueError(f"{node} adds an axis, expected rows to stay rows")
        chain.squeezed = False


def _shape(chain: Chain, node: Node) -> Any:
    chain.check_takes_current(node)
    if chain.shape is None or chain.vector or chain.columns or chain.squeezed:
        raise ValueError(f"{node} of values whose axes are not known")
    chain.lengths[node.outputs[0]] = of_shape(node, chain.shape)
    return ASIDE


# --- behind the scores of a classifier ---


def _concat(chain: Chain, node: Node) -> None:
    """Read [1 - p, p], behind a sigmoid, as the softmax of two scores: 0 and the sigmoid's."""
    pending, last = chain.pending, chain.layers[-2:]
    pair = (chain.current, pending.source) if pending is not None else ()
    opposite = pending is not None and pending.scale.tolist() == [-1.0] and pending.shift.tolist() == [1.0]
    found = opposite and node.inputs in (pair, pair[::-1]) and node.attributes.get("axis", 1) in (1, -1)
    if (
        not found
        or [made.op_type for made in last] != ["Dense", "Sigmoid"]
        or chain.shape is None
        or chain.shape[1:] != (1,)
    ):
        raise ValueError(
            f"{node} joins columns, which is read as [1 - p, p] behind the sigmoid of one column, and there alone"
        )
    chain.pending = None
    chain.layers.pop()
    weight, bias = last[0].params["weight"], last[0].params.get("bias")
    first = node.inputs == pair

    def beside_zero(column: Array) -> Array:
        zeros = np.zeros_like(column)
        return np.concatenate([zeros, column] if first else [column, zeros], axis=-1)

    chain.replace_dense(beside_zero(weight), None if bias is None else beside_zero(bias))
    chain.add(layers.Softmax)
    chain.shape = (chain.shape[0], 2)


def _arg_max(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    check_arg_max(node, chain.rank)
    chain.labels = True


def _classes(chain: Chain, node: Node) -> None:
    """Read what takes a class from the list of classes, by its place."""
    chain.check_takes_current(node, 1)
    if not chain.labels or node.input(0) not in chain.constants:
        raise ValueError(f"{node}: expected a constant list of classes, and the places that an ArgMax gives")


def _zip_map(chain: Chain, node: Node) -> None:
    chain.check_takes_current(node)
    chain.labels = True


READERS: dict[str, Callable[[Chain, Node], Any]] = {
    **dict.fromkeys(_PARTS, _part),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    "Exp": _exp,
    **dict.fromkeys(("Erf", "Pow"), _part_of_gelu),
    "BatchNormalization": _normalization,
    "Scaler": _scaler,
    "Split": _split,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": _shape,
    "Concat": _concat,
    "ArgMax": _arg_max,
    "ArrayFeatureExtractor": _classes,
    "ZipMap": _zip_map,
}
