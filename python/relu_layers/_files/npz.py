"""A tree of JSON values and arrays as one ``.npz`` file: no pickle, a checksum, an atomic write.

The file is an ordinary NumPy archive of stored members. ``document.json`` (a uint8 array) holds the tree; arrays
in it are ``{"__array__": name}`` and live in members of their own; ``checksum`` is the SHA-256 of all the others.
Nothing in a file is believed: sizes are checked against the size of the file before memory is asked for.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import Any, BinaryIO

import numpy as np

from relu_layers._files.archive import refuse_long_directory
from relu_layers._files.damage import damage_as_value_error
from relu_layers._files.document import digest, pack, unpack
from relu_layers._files.npy import read_header
from relu_layers._support.configured import Array
from relu_layers._support.files import open_regular, write_atomically

_DOCUMENT = "document.json"
_CHECKSUM = "checksum"
_MEMBERS = 4096


def write(document: dict[str, Any], path: str) -> None:
    """Write ``document`` to ``path``: a temporary file in the same folder, synced, then renamed over it."""
    text, arrays = pack(document, reserved=(_DOCUMENT, _CHECKSUM))
    if len(arrays) > _MEMBERS - 2:
        raise ValueError(f"{path}: {len(arrays)} arrays are more than fit")
    members = {_DOCUMENT: np.frombuffer(text, np.uint8), **arrays}
    members[_CHECKSUM] = np.frombuffer(digest(members), np.uint8)

    def fill(file: BinaryIO) -> None:
        archive = _Archive(file, "w", zipfile.ZIP_STORED)
        for member, array in members.items():
            entry = zipfile.ZipInfo(f"{member}.npy")
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
        archive.close()

    write_atomically(path, fill)


class _Archive(zipfile.ZipFile):
    """An archive that only `close` completes, no context and no destructor: after Ctrl-C they raise errors over it."""

    # A function in C that does nothing: Python code would lose an interrupt that came while it ran.
    __del__ = staticmethod(int)  # type: ignore[assignment]


def read(path: str) -> dict[str, Any]:
    """Return the document in ``path``; anything but an intact file of ours is a ValueError that says so."""
    with open_regular(path) as file, damage_as_value_error(f"{path} is not a readable relu_layers file"):
        return _document(file)


def _document(file: BinaryIO) -> dict[str, Any]:
    size = file.seek(0, os.SEEK_END)
    refuse_long_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        members = _members(archive, size)
    stored = members.pop(_CHECKSUM, None)
    text = members.get(_DOCUMENT)
    if stored is None or text is None:
        raise ValueError("it lacks the members of a relu_layers file")
    if stored.tobytes() != digest(members):
        raise ValueError("its checksum does not match, so the file is damaged")
    del members[_DOCUMENT]
    return unpack(text.tobytes(), members)


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, Array]:
    """Return all arrays of the archive, read-only."""
    entries = archive.infolist()
    if len(entries) > _MEMBERS:
        raise ValueError("it has too many members")
    if sum(max(entry.file_size, entry.compress_size) for entry in entries) > size:
        raise ValueError("its members claim more bytes than the file has")
    members: dict[str, Array] = {}
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError("it has compressed or encrypted members")
        if not entry.filename.endswith(".npy") or entry.filename[:-4] in members:
            raise ValueError(f"it has a member {entry.filename!r} that does not belong")
        members[entry.filename[:-4]] = _array(archive.read(entry))
    return members


def _array(content: bytes) -> Array:
    """Return the array of an .npy member; its header must agree with its length."""
    try:
        header = read_header(io.BytesIO(content).read, "a member")
    except ValueError:
        raise ValueError("a member has an unknown array format") from None
    if header.fortran_order or header.dtype.str.startswith(">"):
        raise ValueError("a member has an unknown array format")
    count = math.prod(header.shape)
    if count * header.dtype.itemsize != len(content) - header.length:
        raise ValueError("a member's shape does not agree with its length")
    return np.frombuffer(content, header.dtype, count, header.length).reshape(header.shape)
