"""Constant factors and summands, which become part of the Dense before or after them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.onnx import _operators as operators
from relu_layers.formats.onnx._graph import Node

# Elements of a row whose axes are joined: the constants are repeated for each.
_LONGEST_ROW = 2**22


class Affine(NamedTuple):
    """What a value must still be multiplied with, and what added then, in float64.

    Both have the axes of a row, or fewer, or length 1 in their place. ``source`` is the value before, ``node`` the
    last one that was read.
    """

    scale: Array
    shift: Array
    source: str
    node: Node

    def then(self, scale: Array, shift: Array, node: Node) -> Affine:
        """Return this followed by another factor and summand."""
        return Affine(self.scale * scale, self.shift * scale + shift, self.source, node)

    def joined(self, row: tuple[int | None, ...]) -> Affine:
        """Return the same for rows whose axes have been joined; a ValueError where lengths are not known."""
        if self.scale.size == self.shift.size == 1:
            return Affine(self.scale.reshape(1), self.shift.reshape(1), self.source, self.node)
        known = [length for length in row if length is not None]
        if len(known) < len(row) or math.prod(known) > _LONGEST_ROW:
            raise ValueError(f"{self.node}: its constants are for rows of shape {row}")
        scale, shift = (np.broadcast_to(each, known).reshape(-1) for each in (self.scale, self.shift))
        return Affine(scale, shift, self.source, self.node)

    def row(self, features: int) -> tuple[Array, Array]:
        """Return factor and summand of the last axis alone, which are all; else a ValueError."""
        if any(each.shape[:-1].count(1) < each.ndim - 1 for each in (self.scale, self.shift)):
            raise ValueError(f"{self.node}: its constants differ along other axes than the last")
        scale, shift = (np.broadcast_to(each.reshape(-1), (features,)) for each in (self.scale, self.shift))
        return scale, shift


def of_arithmetic(node: Node, given: Array, *, first: bool) -> tuple[Array, Array]:
    """Return factor and summand of an Add, Sub, Mul or Div with a constant, which is the ``first`` of its inputs."""
    constant = given.astype(np.float64)
    one, zero = np.ones(1), np.zeros(1)
    match node.op_type:
        case "Add":
            return one, constant
        case "Sub":
            return (-one, constant) if first else (one, -constant)
        case "Mul":
            return constant, zero
    if first:
        raise ValueError(f"{node} divides a constant by what comes in: layers here divide by constants alone")
    return 1.0 / constant, zero


def of_normalization(node: Node, given: list[Array], rank: int) -> tuple[Array, Array]:
    """Return factor and summand of a BatchNormalization in inference: (x - mean) / sqrt(var + epsilon) * scale + b."""
    training = node.attributes.get("training_mode", 0) or not node.attributes.get("is_test", 1)
    if training and node.version != 7:  # which did away with the mode
        raise ValueError(f"{node} is in training mode: export the model for inference")
    if not node.attributes.get("spatial", 1) and rank > 2:
        raise ValueError(f"{node} normalises every element by itself, expected every channel")
    features = given[0].size
    if any(each.shape != (features,) for each in given):
        shapes = ", ".join(str(each.shape) for each in given)
        raise ValueError(f"{node}: scale, B, mean and var have the shapes {shapes}, expected one")
    # The channels are axis 1.
    factor, summand, mean, variance = (
        each.astype(np.float64).reshape(features, *[1] * (rank - 2)) for each in given
    )
    scale = factor / np.sqrt(variance + operators.number_of(node, "epsilon"))
    return scale, summand - mean * scale


def row_shaped(node: Node, array: Array, shape: tuple[int | None, ...] | None) -> Array:
    """Return a constant without the axis of the rows, in which it must be the same for all; else a ValueError."""
    if array.size == 1 and array.ndim <= (1 if shape is None else len(shape)):
        return array.reshape(1)
    row = (None,) if shape is None else shape[1:]
    found = array[0] if shape is not None and array.shape[:1] == (1,) and array.ndim == len(shape) else array
    pairs = zip(found.shape[::-1], row[::-1], strict=False)
    if not 0 < found.ndim <= len(row) or any(length not in (1, wanted or length) for length, wanted in pairs):
        raise ValueError(
            f"{node}: its constant has shape {array.shape} for values of shape {shape}, "
            "expected one number or a row, the same for every row"
        )
    return found
