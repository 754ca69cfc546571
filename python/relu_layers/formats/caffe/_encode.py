"""Messages as protobuf's bytes, which a caffemodel is; the counterpart of `_wire`."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from relu_layers.formats._protobuf import BYTES, FOUR_BYTES, VARINT
from relu_layers.formats.caffe._schema import ENUMS, FIELDS, Field, refuse_no_float32


def encoded(kind: str, message: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message of ``kind``: fields by name, lists for repeated ones, mappings for messages.

    An array stands for all numbers of a repeated field of floats, packed.
    """
    parts = []
    for name, given in message.items():
        field = FIELDS[kind][name]
        for value in given if isinstance(given, list) else [given]:
            parts.append(_field(field, value))
    return b"".join(parts)


def _field(field: Field, value: Any) -> bytes:
    if isinstance(value, Mapping):
        return _counted(field, encoded(field.kind, value))
    if isinstance(value, np.ndarray):
        return _counted(field, value.astype("<f8" if field.kind == "double" else "<f4").tobytes())
    if field.kind == "string":
        return _counted(field, value.encode())
    if field.kind == "float":
        refuse_no_float32(field.name, value)
        return _varint(field.number << 3 | FOUR_BYTES) + struct.pack("<f", value)
    number = ENUMS[field.kind].index(value) if field.kind in ENUMS else int(value)
    return _varint(field.number << 3 | VARINT) + _varint(number & (2**64 - 1))


def _counted(field: Field, content: bytes) -> bytes:
    return _varint(field.number << 3 | BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes([*result, number])
