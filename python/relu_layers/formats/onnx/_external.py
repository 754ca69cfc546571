"""Data of tensors in a file beside the model: names that stay in its folder, sizes that are there."""

from __future__ import annotations

import os
from typing import Any

from relu_layers._support.files import open_regular

_KEYS = ("location", "offset", "length", "checksum", "basepath")


class External:
    """What the tensors of one model keep outside its file.

    Parameters
    ----------
    folder : str
        The model's; names are relative to it and may not leave it, by a link neither.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._regions: dict[tuple[str, int, int], bytes] = {}
        self._left: dict[str, int] = {}

    def read(self, tensor: Any, length: int) -> bytes:
        """Return the ``length`` bytes of a TensorProto; a ValueError says what does not fit."""
        # Protobuf gives bytes for what is no text.
        entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
        if len(entries) != len(tensor.external_data) or not set(entries) <= set(_KEYS):
            raise ValueError(f"its data outside the file have the keys {', '.join(entries)[:200]}")
        offset = _size(entries.get("offset", "0"), "offset")
        given = entries.get("length")
        if given is not None and _size(given, "length") != length:
            raise ValueError(f"its data outside the file have a length of {given} bytes, expected {length}")
        where = self._inside(entries.get("location", ""))
        key = (where, offset, length)
        if key not in self._regions:
            self._regions[key] = self._bytes(where, offset, length)
        return self._regions[key]

    def _inside(self, name: str) -> str:
        """Return the path of a file in the folder."""
        parts = name.replace("\\", "/").split("/")
        if not name or "\0" in name or not parts[0] or ".." in parts or ":" in parts[0]:
            raise ValueError(
                f"it has data outside the file, in {name[:200]!r}: expected the name of a file in the model's folder"
            )
        where = os.path.realpath(os.path.join(self._folder, name))
        if os.path.commonpath([where, self._folder]) != self._folder:
            raise ValueError(
                f"it has data outside the file, in {name[:200]!r}, a link out of the model's folder: "
                "put the file itself there"
            )
        return where

    def _bytes(self, where: str, offset: int, length: int) -> bytes:
        name = os.path.relpath(where, self._folder)
        try:
            file = open_regular(where)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no regular file"
            raise ValueError(
                f"it has data outside the file, in {name[:200]!r}, which is not there ({reason}): "
                "keep both files in one folder"
            ) from None
        with file:
            size = file.seek(0, os.SEEK_END)
            if offset + length > size:
                raise ValueError(
                    f"it has data outside the file, {length} bytes from byte {offset} of {name[:200]!r}, "
                    f"which has {size}"
                )
            # Tensors that lie over one another would ask for more memory than there are bytes.
            left = self._left.get(where, size) - length
            if left < 0:
                raise ValueError(f"tensors in {name[:200]!r} together are larger than its {size} bytes")
            self._left[where] = left
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise ValueError(f"it has data outside the file, in {name[:200]!r}, which became shorter")
        return data


def _size(text: str, name: str) -> int:
    """Return a number of bytes below 2**63."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**63):
        raise ValueError(
            f"its data outside the file have the {name} {text[:50]!r}, expected a number of bytes"
        )
    return int(text)
