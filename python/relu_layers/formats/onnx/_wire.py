"""A look at the bytes of a model before protobuf makes objects of them.

A message of two bytes becomes an object of a hundred, and messages may hold messages. So the fields are counted, and
what no network of this package can have (subgraphs, functions, data outside the file) is refused while it is bytes.
The numbers are those of onnx.proto; a field that is not listed is passed over, as protobuf does.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# A network of a thousand layers has some twenty thousand.
_MOST_FIELDS = 250_000
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


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
    "tensor": _Message({16: "leaf"}, {3: "a segment of a tensor", 13: "data outside the file"}),
    "value": _Message({2: "type", 4: "leaf"}),
    "type": _Message({1: "tensor type"}, dict.fromkeys((4, 5, 7, 8, 9), _NOT_A_TENSOR)),
    "tensor type": _Message({2: "shape"}),
    "shape": _Message({1: "leaf"}),
    "leaf": _Message(),
}


def check_bytes(data: bytes) -> None:
    """Raise a ValueError unless ``data`` can be a model of few enough fields, without what is refused.

    Depth is that of `_MESSAGES`; time and memory are in proportion to the number of fields.
    """
    _Scan(data).message("model", 0, len(data))


class _Scan:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields = 0

    def message(self, kind: str, at: int, end: int) -> None:
        """Go through the message of ``kind`` between two places."""
        inside, refused = _MESSAGES[kind]
        start = at
        while at < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise ValueError(f"it has more than {_MOST_FIELDS} fields")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                at = self._varint(at, end)[1]
                continue
            if wire == _BYTES:
                length, at = self._varint(at, end)
            elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
                length = 8 if wire == _EIGHT_BYTES else 4
            else:
                raise ValueError(f"it is damaged: a field of wire type {wire} at byte {at}")
            if length > end - at:
                raise ValueError(
                    f"it is damaged or cut off: {length} bytes at byte {at}, where {end - at} are left"
                )
            if number in refused:
                raise ValueError(f"it has {refused[number]}, which is not read")
            if wire == _BYTES and number in inside:
                self._within(kind, start, end, inside[number], at, at + length)
            at += length

    def _within(self, kind: str, start: int, end: int, inner: str, at: int, stop: int) -> None:
        """Go through an inner message; what is wrong in a node's attributes is told with the node."""
        try:
            self.message(inner, at, stop)
        except ValueError as error:
            if kind != "node":
                raise
            name, op_type = (self._text(start, end, number) for number in (3, 4))
            raise ValueError(f"node {name!r} ({op_type}): {error}") from None

    def _text(self, at: int, end: int, wanted: int) -> str:
        """Return the text of one field of a message, "" if there is none before what cannot be read."""
        while at < end:
            key, at = self._varint(at, end)
            if key & 7 != _BYTES:
                return ""
            length, at = self._varint(at, end)
            if key >> 3 == wanted:
                return self._data[at : min(at + length, at + 100, end)].decode(errors="replace")
            at += length
        return ""

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number at ``at`` and where it ends."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
            shift += 7
        raise ValueError(f"it is damaged or cut off at byte {at}")
