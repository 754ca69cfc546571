"""The meaning of the operators' attributes and inputs, where versions differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Node


def short_number(value: float) -> float:
    """Return the shortest decimal that is the same float32: attributes are float32, and 0.01 was meant as 0.01."""
    with np.errstate(all="ignore"):
        return float(str(np.float32(value)))


def number_of(node: Node, name: str) -> float:
    """Return an attribute that is a finite number."""
    value: float = node.attributes[name]
    if not math.isfinite(value):
        raise ValueError(f"{node}: {name} is {value}, expected a finite number")
    return value


def axis_of(node: Node, rank: int | None, *, beyond: bool = False) -> int:
    """Return the axis counted from the front, or as it stands where the rank is not known.

    With ``beyond`` the axis may be the rank itself, which lies behind the last one.
    """
    axis: int = node.attributes["axis"]
    if rank is None:
        return axis
    # A negative axis came with version 11 of all operators that have one, but exporters wrote it before.
    if not -rank <= axis < rank + beyond:
        raise ValueError(f"{node}: axis is {axis}, but its input has {rank} axes")
    return axis + rank if axis < 0 else axis


def joins_axes(node: Node) -> bool:
    """Return whether a softmax joins all axes from its own on, as it did before version 13."""
    return node.version < 13


def check_broadcast(node: Node, larger: tuple[int | None, ...] | None, smaller: tuple[int, ...]) -> None:
    """Raise unless an Add or Gemm may broadcast ``smaller``; before opset 7 only with ``broadcast=1``."""
    if node.version >= 7 or larger == smaller:
        return
    if not node.attributes.get("broadcast", 0):
        raise ValueError(f"{node}: before opset 7 an input of shape {smaller} needs broadcast=1")
    axis = node.attributes.get("axis")
    if axis is not None and (larger is None or axis % max(len(larger), 1) + len(smaller) != len(larger)):
        raise ValueError(
            f"{node}: axis {axis} for an input of shape {smaller} is not the end of the other's shape"
        )


def dropout_ratio(node: Node, constants: Mapping[str, Any]) -> float:
    """Return the ratio of a Dropout, an attribute before version 12 and an input that must be constant since.

    In training mode its output is random, so that is a ValueError: what is read and run here is inference.
    """
    if node.version < 12:
        ratio = short_number(number_of(node, "ratio"))
        # Version 7 did away with the mode, version 12 brought it back as an input.
        training = node.version < 7 and not node.attributes["is_test"]
    else:
        ratio = float(_scalar(node, 1, constants, 0.5))
        training = bool(_scalar(node, 2, constants, False))
    if not 0.0 <= ratio < 1.0:
        raise ValueError(f"{node}: ratio is {ratio}, expected 0 <= ratio < 1")
    if training and ratio > 0.0:
        raise ValueError(
            f"{node} is in training mode, where its output is random; export the model for inference"
        )
    return ratio


def _scalar(node: Node, index: int, constants: Mapping[str, Any], default: Any) -> Any:
    """Return an optional input that must be one constant number."""
    if not node.input(index):
        return default
    given = constants.get(node.input(index))
    if given is None or given.size != 1:
        raise ValueError(f"{node}: its input {index}, {node.input(index)!r}, is no constant number")
    value = given.item()
    return short_number(value) if isinstance(value, float) else value


def target_shape(node: Node, constants: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape that a Reshape is given, an attribute before version 5 and a constant input since."""
    if node.version < 5:
        return tuple(node.attributes.get("shape", ()))
    given = constants.get(node.input(1))
    if given is None or given.dtype != np.int64 or given.ndim != 1:
        raise ValueError(f"{node}: its shape {node.input(1)!r} is no constant list of integers")
    return tuple(given.tolist())


def constant_of(node: Node) -> Array:
    """Return the value of a Constant."""
    if len(node.attributes) != 1:
        raise ValueError(f"{node} with {len(node.attributes)} values, expected one")
    ((name, value),) = node.attributes.items()
    if name == "value":
        tensor: Array = value
        return tensor
    return np.array(value, np.float32 if name.startswith("value_float") else np.int64)


def permutation(node: Node, rank: int) -> tuple[int, ...]:
    """Return the order of the axes that a Transpose gives; reversed where it gives none."""
    perm: Any = node.attributes.get("perm", tuple(range(rank))[::-1])
    if sorted(perm) != list(range(rank)):
        raise ValueError(f"{node}: perm is {perm}, but its input has {rank} axes")
    return tuple(perm)
