"""What converters write behind the scores of a classifier: labels, and scores by the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relu_layers.formats.onnx._graph import Node

# Nodes behind an ArgMax or ZipMap that turn places into classes and give the result its type and shape.
BEHIND_LABELS = ("Cast", "Identity", "ArrayFeatureExtractor", "Reshape", "Squeeze", "Unsqueeze", "ZipMap")
_PASSED = (*BEHIND_LABELS, "ArgMax")


def scores_among(nodes: Sequence[Any], outputs: Sequence[str]) -> str | None:
    """Return the output that has the scores where the others are labels made of them; None if there is none."""
    makers = {name: node for node in nodes for name in node.output}
    ends = [core_of(makers, name) for name in outputs]
    scores = [name for name, (_, labels) in zip(outputs, ends, strict=True) if not labels]
    return scores[0] if len({core for core, _ in ends}) == 1 and len(scores) == 1 else None


def core_of(makers: Mapping[str, Any], name: str) -> tuple[str, bool]:
    """Return the value that an output is made of, and whether labels are made of it."""
    labels = False
    for _ in range(len(makers)):
        node = makers.get(name)
        if node is None or node.op_type not in _PASSED:
            break
        at = int(node.op_type == "ArrayFeatureExtractor")
        if len(node.input) <= at:
            break
        labels |= node.op_type == "ArgMax"
        name = node.input[at]
    return name, labels


def check_arg_max(node: Node, rank: int | None) -> None:
    """Raise unless an ArgMax is over the last axis, the first of equals."""
    axis = node.attributes["axis"]
    if (axis != -1 and (rank is None or axis != rank - 1)) or node.attributes.get("select_last_index", 0):
        raise ValueError(f"{node}: expected the first largest number of the last axis")
