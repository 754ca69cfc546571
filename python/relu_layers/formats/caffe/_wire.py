"""A bounded reader of protobuf's wire format: one pass over the bytes, nothing copied but small fields.

A message of two bytes becomes an object of a hundred, so fields are counted; the arrays of a blob stay slices of
the file. Depth is that of the schema, which has no cycles.
"""

from __future__ import annotations

import struct
from typing import Any

from relu_layers.formats.caffe._schema import ENUMS, FIELDS, NUMBERS, Field, Message

# A network of a thousand layers has some fifty thousand.
_MOST_FIELDS = 1_000_000
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
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
        self._fields = 0

    def message(self, kind: str, at: int, end: int) -> Message:
        """Return the message between two places."""
        result, known = Message(kind), NUMBERS[kind]
        while at < end:
            self._count()
            start = at
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if number == 0 or wire not in (_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES):
                raise ValueError(f"it is damaged: field {number} of wire type {wire} at byte {start}")
            stop = self._end_of_value(wire, at, end)
            if wire == _BYTES:
                at = stop[0]
            if number in known:
                self._take(result, known[number], wire, at, stop[1])
            at = stop[1]
        return result

    def _end_of_value(self, wire: int, at: int, end: int) -> tuple[int, int]:
        """Return where the content of a value begins and ends, both inside the message."""
        if wire == _VARINT:
            return at, self._varint(at, end)[1]
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(wire, 0)
        if wire == _BYTES:
            length, at = self._varint(at, end)
        if length > end - at:
            raise ValueError(
                f"it is damaged or cut off: {length} bytes at byte {at}, where {end - at} are left"
            )
        return at, at + length

    def _take(self, message: Message, field: Field, wire: int, at: int, end: int) -> None:
        """Put the value between two places into ``message``."""
        if field.kind in FIELDS:
            self._expect(field, wire == _BYTES, at)
            if not field.repeated and field.name in message:
                raise ValueError(f"it is damaged: a second {field.name} at byte {at}")
            message.put(field, self.message(field.kind, at, end))
        elif field.kind == "string":
            self._expect(field, wire == _BYTES, at)
            message.put(field, self._data[at:end].decode(errors="replace"))
        elif field.kind in _WIDTHS:
            self._take_floats(message, field, wire, at, end)
        elif wire == _BYTES and field.repeated:
            while at < end:
                self._count()
                number, at = self._varint(at, end)
                message.put(field, self._scalar(field, number))
        else:
            self._expect(field, wire == _VARINT, at)
            message.put(field, self._scalar(field, self._varint(at, end)[0]))

    def _take_floats(self, message: Message, field: Field, wire: int, at: int, end: int) -> None:
        width = _WIDTHS[field.kind]
        single = wire == (_FOUR_BYTES if width == 4 else _EIGHT_BYTES)
        self._expect(field, single or (wire == _BYTES and field.repeated and (end - at) % width == 0), at)
        if field.repeated:
            message.put(field, self._view[at:end])
        else:
            message.put(field, struct.unpack_from("<f" if width == 4 else "<d", self._data, at)[0])

    def _scalar(self, field: Field, number: int) -> Any:
        """Return what a varint means in a field."""
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

    def _count(self) -> None:
        self._fields += 1
        if self._fields > _MOST_FIELDS:
            raise ValueError(f"it has more than {_MOST_FIELDS} fields")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number at a place and the place after it."""
        number = shift = 0
        for place in range(at, min(at + 10, end)):
            byte = self._data[place]
            number |= (byte & 127) << shift
            if byte < 128:
                return number & (2**64 - 1), place + 1
            shift += 7
        raise ValueError(f"it is damaged or cut off: no number at byte {at}")
