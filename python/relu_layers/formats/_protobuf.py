"""Protobuf's wire format: the fields of a message in untrusted bytes, counted, each inside its message.

A message of two bytes becomes an object of a hundred, and messages may hold messages: a reader of such
files bounds the fields before there are objects. Schemas are the readers' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
_LENGTHS = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


class WireField(NamedTuple):
    """One field as it stands in the bytes; its value is ``data[at:end]``, without the length before it."""

    number: int
    wire: int
    at: int
    end: int


class Scanner:
    """A single pass over the fields of a file.

    Parameters
    ----------
    data : bytes
    most_fields : int
        Of all messages together.
    """

    def __init__(self, data: bytes, most_fields: int) -> None:
        self.data = data
        self._most_fields = most_fields
        self._fields = 0

    def fields(self, at: int, end: int) -> Iterator[WireField]:
        """Yield the fields of the message ``data[at:end]``.

        Raises
        ------
        ValueError
            The bytes are cut off or damaged, or there are too many fields.
        """
        while at < end:
            self.count()
            start = at
            key, at = self.varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == VARINT and number:
                length = self.varint(at, end)[1] - at
            elif wire == BYTES and number:
                length, at = self.varint(at, end)
            elif wire in _LENGTHS and number:
                length = _LENGTHS[wire]
            else:
                raise ValueError(f"it is damaged: field {number} of wire type {wire} at byte {start}")
            if length > end - at:
                raise ValueError(
                    f"it is damaged or cut off: {length} bytes at byte {at}, where {end - at} are left"
                )
            yield WireField(number, wire, at, at + length)
            at += length

    def count(self) -> None:
        """Count one more field, or one more number of a packed field."""
        self._fields += 1
        if self._fields > self._most_fields:
            raise ValueError(f"it has more than {self._most_fields} fields")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number at a place, below 2**64, and the place after it."""
        number = shift = 0
        for place in range(at, min(at + 10, end)):
            byte = self.data[place]
            number |= (byte & 127) << shift
            if byte < 128:
                return number & (2**64 - 1), place + 1
            shift += 7
        raise ValueError(f"it is damaged or cut off: no number at byte {at}")
