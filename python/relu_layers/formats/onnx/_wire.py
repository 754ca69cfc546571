"""A look at the bytes of a model before protobuf makes objects of them.

A message of two bytes becomes an object of a hundred, and messages may hold messages. So the fields are counted, and
what no network of this package can have (subgraphs, functions, sequences) is refused while it is bytes.
The numbers are those of onnx.proto; a field that is not listed is passed over, as protobuf does.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from relu_layers.formats._protobuf import BYTES, VARINT, Scanner

# A network of a thousand layers has some twenty thousand.
_MOST_FIELDS = 250_000


class _Message(NamedTuple):
    """A kind of message: which fields are messages of which kind, and which may not be there."""

    inside: Mapping[int, str] = MappingProxyType({})
    refused: Mapping[int, str] = MappingProxyType({})


_NOT_A_TENSOR = "a value that is no tensor (a sequence, map, optional or sparse tensor)"
_MESSAGES = {
    "model": _Message({7: "graph", 8: "leaf", 14: "leaf"}, {20: "training information", 25: "functions"}),
    "graph": _Message(
        {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 14: "leaf", 16: "leaf"},
        {15: "sparse initializers"},
    ),
    "node": _Message({5: "attribute", 9: "leaf", 10: "leaf"}),
    "attribute": _Message(
        {5: "tensor"},
        {6: "a subgraph", 11: "subgraphs", 10: "a list of tensors"}
        | dict.fromkeys((14, 15), "types as an attribute")
        | dict.fromkeys((22, 23), "sparse tensors"),
    ),
    "tensor": _Message({13: "leaf", 16: "leaf"}, {3: "a segment of a tensor"}),
    "value": _Message({2: "type", 4: "leaf"}),
    # A ZipMap's output, a sequence of maps, is the one value that is no tensor.
    "type": _Message({1: "tensor type", 4: "sequence"}, dict.fromkeys((5, 7, 8, 9), _NOT_A_TENSOR)),
    "sequence": _Message({1: "element"}),
    "element": _Message({5: "map"}, dict.fromkeys((4, 7, 8, 9), _NOT_A_TENSOR)),
    "map": _Message({2: "map value"}),
    "map value": _Message({1: "tensor type"}, dict.fromkeys((4, 5, 7, 8, 9), _NOT_A_TENSOR)),
    "tensor type": _Message({2: "shape"}),
    "shape": _Message({1: "leaf"}),
    "leaf": _Message(),
}


def check_bytes(data: bytes) -> None:
    """Raise a ValueError unless ``data`` can be a model of few enough fields, without refused parts.

    Depth is that of `_MESSAGES`; time and memory are in proportion to the number of fields.
    """
    _Check(data).message("model", 0, len(data))


class _Check:
    def __init__(self, data: bytes) -> None:
        self._scanner = Scanner(data, _MOST_FIELDS)

    def message(self, kind: str, start: int, end: int) -> None:
        """Go through the message of ``kind`` between two places."""
        inside, refused = _MESSAGES[kind]
        for number, wire, at, stop in self._scanner.fields(start, end):
            if number in refused and wire != VARINT:
                raise ValueError(f"it has {refused[number]}, which is not read")
            if number not in inside or wire != BYTES:
                continue
            try:
                self.message(inside[number], at, stop)
            except ValueError as error:
                if kind != "node":
                    raise
                # What is wrong with an attribute is reported with its node.
                name, op_type = (self._text(start, end, wanted) for wanted in (3, 4))
                raise ValueError(f"node {name!r} ({op_type}): {error}") from None

    def _text(self, start: int, end: int, wanted: int) -> str:
        """Return the text of one field of a message, "" if there is none in front of damage."""
        data = self._scanner.data
        try:
            for number, wire, at, stop in Scanner(data, _MOST_FIELDS).fields(start, end):
                if number == wanted and wire == BYTES:
                    return data[at : min(stop, at + 100)].decode(errors="replace")
        except ValueError:
            pass
        return ""
