"""Nodes whose inputs are constant, computed while a graph is read: they give the weights of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Node
from relu_layers.formats.onnx._operators import constant_of, permutation
from relu_layers.formats.onnx._tensors import FLOATS, type_name

# Nodes that are computed where all their inputs are constant.
FOLDED = ("Constant", "Identity", "Transpose", "Cast")


def folded(node: Node, constants: dict[str, Array]) -> Array:
    """Return the output of a node of `FOLDED` whose inputs are all constant."""
    if node.op_type == "Constant":
        return constant_of(node)
    given = constants[node.input(0)]
    if node.op_type == "Transpose":
        return given.transpose(permutation(node, given.ndim))
    with np.errstate(all="ignore"):
        return given if node.op_type == "Identity" else given.astype(cast_dtype(node))


def cast_dtype(node: Node) -> np.dtype[Any]:
    """Return the type that a Cast casts to, one of those that a model may have."""
    to: Any = node.attributes["to"]
    if isinstance(to, bytes):  # before version 6
        to = dict(TensorProto.DataType.items()).get(to.decode(errors="replace"), 0)
    if to not in FLOATS:
        raise ValueError(f"{node}: it casts to {type_name(to)}, expected FLOAT or DOUBLE")
    return FLOATS[to]


def scaled(array: Array, factor: float) -> Array:
    """Return ``factor * array``, the array itself for 1."""
    if factor == 1.0:
        return array
    with np.errstate(all="ignore"):
        return np.asarray(array * array.dtype.type(factor))


def row_of(node: Node, given: Array, features: int, rank: int | None) -> Array:
    """Return the summand of every row as an array of shape (features,).

    Raises
    ------
    ValueError
        ``given`` has more axes than the value of ``rank`` that it is added to, or differs from row to row.
    """
    fits = given.size == 1 or given.shape[-1:] == (features,) == (given.size,)
    if not fits or given.ndim > (1 if rank is None else rank):
        raise ValueError(
            f"{node}: what it adds has shape {given.shape}, expected one number or {features}, the same for every row"
        )
    row: Array = np.broadcast_to(given.reshape(-1), (features,))
    return row
