"""A caffemodel's bytes to messages: one pass, nothing copied but small fields.

The arrays of a blob stay slices of the file. Depth is that of the schema, which has no cycles.
"""

from __future__ import annotations

import struct
from typing import Any

from relu_layers.formats._protobuf import BYTES, EIGHT_BYTES, FOUR_BYTES, VARINT, Scanner
from relu_layers.formats.caffe._schema import ENUMS, FIELDS, NUMBERS, Field, Message

# A network of a thousand layers has some fifty thousand.
_MOST_FIELDS = 1_000_000
_WIDTHS = {"float": 4, "double": 8}


def read_wire(data: bytes, kind: str) -> Message:
    """Return the message of ``kind`` in ``data``.

    Numbers of repeated ``float`` and ``double`` fields come as slices of the bytes. Fields that the schema does not
    know are passed over.

    Raises
    ------
    ValueError
        The bytes are cut off or damaged, or hold more fields than a network has.
    """
    return _Reader(data).message(kind, 0, len(data))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._view = memoryview(data)
        self._scanner = Scanner(data, _MOST_FIELDS)

    def message(self, kind: str, start: int, end: int) -> Message:
        """Return the message between two places."""
        result, known = Message(kind), NUMBERS[kind]
        for number, wire, at, stop in self._scanner.fields(start, end):
            if number in known:
                self._take(result, known[number], wire, at, stop)
        return result

    def _take(self, message: Message, field: Field, wire: int, at: int, end: int) -> None:
        """Put the value between two places into ``message``."""
        if field.kind in FIELDS:
            self._expect(field, wire == BYTES, at)
            if not field.repeated and field.name in message:
                raise ValueError(f"it is damaged: a second {field.name} at byte {at}")
            message.put(field, self.message(field.kind, at, end))
        elif field.kind == "string":
            self._expect(field, wire == BYTES, at)
            message.put(field, self._data[at:end].decode(errors="replace"))
        elif field.kind in _WIDTHS:
            self._take_floats(message, field, wire, at, end)
        elif wire == BYTES and field.repeated:
            while at < end:
                self._scanner.count()
                number, at = self._scanner.varint(at, end)
                message.put(field, self._scalar(field, number))
        else:
            self._expect(field, wire == VARINT, at)
            message.put(field, self._scalar(field, self._scanner.varint(at, end)[0]))

    def _take_floats(self, message: Message, field: Field, wire: int, at: int, end: int) -> None:
        width = _WIDTHS[field.kind]
        single = wire == (FOUR_BYTES if width == 4 else EIGHT_BYTES)
        self._expect(field, single or (wire == BYTES and field.repeated and (end - at) % width == 0), at)
        if field.repeated:
            message.put(field, self._view[at:end])
        else:
            message.put(field, struct.unpack_from("<f" if width == 4 else "<d", self._data, at)[0])

    def _scalar(self, field: Field, number: int) -> Any:
        """Return the value of a varint in a field."""
        if field.kind == "bool":
            return number != 0
        signed = number - 2**64 if number >= 2**63 else number
        if field.kind == "int":
            return signed
        names = ENUMS[field.kind]
        if not 0 <= signed < len(names):
            raise ValueError(f"{field.name} is {signed}, expected a number of {', '.join(names)}")
        return names[signed]

    def _expect(self, field: Field, right: bool, at: int) -> None:
        if not right:
            raise ValueError(f"it is damaged: {field.name} at byte {at} is not a {field.kind}")
