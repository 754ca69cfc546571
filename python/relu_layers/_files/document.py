"""A tree of JSON values and arrays as a text and named arrays, and back: what the formats of whole documents share.

In the text an array is ``{"__array__": name}``. Nothing that is read is believed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from relu_layers._support.configured import Array

_REFERENCE = "__array__"
# A description is small: arrays are apart. Parsed JSON takes up to 30 times the memory of its text.
_LONGEST = 32 * 2**20
_DEEPEST = 40
# Each becomes a Python object; a table of a hundred thousand columns needs some six hundred thousand.
_MOST_VALUES = 2**20
# Each layer is an object of several: no file may ask for any number of them.
MOST_LAYERS = 2**14
_DTYPES = frozenset(f"{kind}{size}" for kind in "biuf" for size in (1, 2, 4, 8))


def refuse_too_many_layers(count: int) -> None:
    """Raise a ValueError for a file that describes more than `MOST_LAYERS` layers."""
    if count > MOST_LAYERS:
        raise ValueError(f"it has {count} layers, more than {MOST_LAYERS}")


def pack(document: dict[str, Any], reserved: Collection[str] = ()) -> tuple[bytes, dict[str, Array]]:
    """Return the text of ``document`` and its arrays, contiguous and little-endian, named by where they stood.

    Names in ``reserved`` are not used. What the text cannot hold is a ValueError.
    """
    import json  # what only trains does without

    arrays: dict[str, Array] = {}
    text = json.dumps(_packed(document, "", arrays, reserved), separators=(",", ":")).encode()
    if len(text) > _LONGEST or _values(text) > _MOST_VALUES:
        raise ValueError(
            f"{len(text)} bytes and up to {_values(text)} values of description are more than fit, "
            f"which are {_LONGEST} bytes and {_MOST_VALUES} values"
        )
    return text, arrays


def unpack(text: bytes, arrays: dict[str, Array]) -> dict[str, Any]:
    """Return the document of a text, with copies of the arrays it names, each of which it may name once.

    A text that is none is a ValueError. Its length and the number of its values are bounded before it is read.
    """
    import json

    if len(text) > _LONGEST or _values(text) > _MOST_VALUES:
        raise ValueError("its description is too long")
    try:
        parsed = json.loads(text.decode())
    except RecursionError:
        raise ValueError("its description is nested too deeply") from None
    document = _unpacked(parsed, dict(arrays))
    if not isinstance(document, dict):
        raise ValueError("its description is not a mapping")
    return document


def digest(members: dict[str, Array]) -> bytes:
    """Return the SHA-256 of all names, dtypes, shapes and contents."""
    import hashlib

    total = hashlib.sha256()
    for name in sorted(members):
        array = members[name]
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        total.update(array.data if array.size else b"")
    return total.digest()


def _packed(value: Any, name: str, arrays: dict[str, Array], reserved: Collection[str]) -> Any:
    """Return ``value`` with its arrays moved to ``arrays``, named by where they stood."""
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value).reshape(value.shape)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str[1:] not in _DTYPES:
            raise ValueError(f"{name}: arrays of dtype {value.dtype} cannot be written to a file")
        while name in arrays or name in reserved:
            name += "_"
        arrays[name] = array
        return {_REFERENCE: name}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _REFERENCE:
                raise ValueError(
                    f"{name or 'document'}: key {key!r} cannot be written to a file, use strings"
                )
        return {k: _packed(item, f"{name}/{k}" if name else k, arrays, reserved) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(item, f"{name}/{i}", arrays, reserved) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is not None and not isinstance(value, (str, bool, int, float)):
        raise ValueError(f"{name}: a {type(value).__name__} cannot be written to a file")
    return value


def _values(text: bytes) -> int:
    """Return a number that the values in a JSON text do not exceed by more than one."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _unpacked(value: Any, arrays: dict[str, Array], depth: int = 0) -> Any:
    """Return ``value`` with its arrays, taken out of ``arrays``; containers are changed in place."""
    if depth > _DEEPEST:
        raise ValueError("its description is nested too deeply")
    if isinstance(value, dict):
        if value.keys() == {_REFERENCE}:
            name = value[_REFERENCE]
            if not isinstance(name, str) or name not in arrays:
                raise ValueError(
                    f"its description names an array {str(name)[:80]!r} that is not there (any more)"
                )
            return arrays.pop(name).copy()
        for key, item in value.items():
            value[key] = _unpacked(item, arrays, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            value[index] = _unpacked(item, arrays, depth + 1)
    return value
