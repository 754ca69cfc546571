"""Nodes whose inputs are constant, computed while a graph is read: they give the weights of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Node
from relu_layers.formats.onnx._operators import constant_of, permutation
from relu_layers.formats.onnx._tensors import FLOATS, READ_AS, type_name

# Nodes that are computed where all their inputs are constant.
FOLDED = ("Constant", "Identity", "Transpose", "Cast", "Add", "Sub", "Mul", "Div", "Unsqueeze", "Squeeze")
_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}


def folded(node: Node, constants: dict[str, Array]) -> Array:
    """Return the output of a node of `FOLDED` whose inputs are all constant."""
    if node.op_type == "Constant":
        return constant_of(node)
    given = constants[node.input(0)]
    if node.op_type == "Transpose":
        return given.transpose(permutation(node, given.ndim))
    if node.op_type in ("Unsqueeze", "Squeeze"):
        axes = axes_of(node, constants)
        return moved(node, given, axes)
    if node.op_type in _ARITHMETIC:
        return _arithmetic(node, given, constants[node.input(1)])
    if node.op_type == "Cast" and given.dtype.kind not in "fc":
        return given  # lengths of axes, the same as any integer
    with np.errstate(all="ignore"):
        return given if node.op_type == "Identity" else given.astype(cast_dtype(node))


def _arithmetic(node: Node, a: Array, b: Array) -> Array:
    if a.dtype != b.dtype or a.dtype.kind != "f" or node.version < 7:
        raise ValueError(f"{node} of constants of {a.dtype} and {b.dtype} is not read")
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        shape = None
    if shape not in (a.shape, b.shape):  # one that is larger than both would ask for memory
        raise ValueError(f"{node} of constants of shapes {a.shape} and {b.shape} is not read")
    with np.errstate(all="ignore"):
        return np.asarray(_ARITHMETIC[node.op_type](a, b))


def axes_of(node: Node, constants: dict[str, Array]) -> tuple[int, ...] | None:
    """Return the axes of a Squeeze or Unsqueeze, an attribute before version 13 and a constant input since."""
    if node.version < 13:
        found = node.attributes.get("axes")
        return None if found is None else tuple(found)
    if not node.input(1):
        return None
    given = constants.get(node.input(1))
    if given is None or given.dtype != np.int64 or given.ndim != 1 or given.size > 8:
        raise ValueError(f"{node}: its axes {node.input(1)!r} are no constant list of integers")
    return tuple(given.tolist())


def moved(node: Node, given: Array, axes: tuple[int, ...] | None) -> Array:
    """Return an array with axes of length 1 put in or taken out."""
    try:
        return np.squeeze(given, axes) if node.op_type == "Squeeze" else np.expand_dims(given, axes or ())
    except ValueError as error:
        raise ValueError(f"{node}: {error}") from None


def cast_dtype(node: Node) -> np.dtype[Any]:
    """Return the type that a Cast casts to, one of those that a model may have."""
    to = _element_type(node)
    if to not in FLOATS:
        raise ValueError(f"{node}: it casts to {type_name(to)}, expected FLOAT or DOUBLE")
    return FLOATS[to]


def _element_type(node: Node) -> Any:
    to = node.attributes["to"]
    if isinstance(to, bytes):  # before version 6
        to = dict(TensorProto.DataType.items()).get(to.decode(errors="replace"), 0)
    return to


def keeps_type(node: Node, dtype: np.dtype[Any]) -> bool:
    """Return whether a Cast casts to what is read as a type."""
    return READ_AS.get(_element_type(node)) == dtype


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
