"""The names of the classes in a file that another program wrote, and what its outputs are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relu_layers.formats.onnx._labels import core_of
from relu_layers.formats.onnx._tensors import array_of
from relu_layers.preprocessing import Preprocessing

# More names than this are no list of classes that anybody reads.
_MOST = 100_000


def makes_labels(nodes: Sequence[Any], outputs: Sequence[str]) -> bool:
    """Return whether an output of the file is a label that is made of scores."""
    makers = {name: node for node in nodes for name in node.output}
    return any(core_of(makers, name)[1] for name in outputs)


def named_classes(graph: Any, outputs: int) -> Preprocessing | None:
    """Return a preprocessing that has the names of the classes alone, None where they are not named.

    Names stand in a ZipMap, or are the list that an ArrayFeatureExtractor takes from.
    """
    names = _names(graph)
    if names is None or len(names) != outputs:
        return None
    target = {"task": "classification", "name": "label", "classes": names}
    entries = Preprocessing(standardize="none").to_dict() | {"target": target}
    try:
        return Preprocessing.from_dict(entries)
    except ValueError:  # not two of different names
        return None


def _names(graph: Any) -> list[Any] | None:
    for node in graph.node:
        if node.op_type == "ZipMap":
            for attribute in node.attribute:
                if attribute.name == "classlabels_strings" and len(attribute.strings):
                    return [bytes(each).decode(errors="replace") for each in attribute.strings[:_MOST]]
                if attribute.name == "classlabels_int64s" and len(attribute.ints):
                    return list(attribute.ints[:_MOST])
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        tensor = (
            tensors.get(node.input[0]) if node.op_type == "ArrayFeatureExtractor" and node.input else None
        )
        if tensor is not None:
            found: list[Any] = array_of(tensor).reshape(-1)[:_MOST].tolist()
            return found
    return None
