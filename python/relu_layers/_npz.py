"""A tree of JSON values and arrays as one ``.npz`` file: no pickle, a checksum, an atomic write.

The file is an ordinary NumPy archive of stored members. ``document.json`` (a uint8 array) holds the tree; arrays
in it are ``{"array": name}`` and live in members of their own; ``checksum`` is the SHA-256 of all the others.
Nothing in a file is believed: sizes are checked against the size of the file before memory is asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from relu_layers._configured import Array

_DOCUMENT = "document.json"
_CHECKSUM = "checksum"
_LONGEST_DOCUMENT = 64 * 2**20
_DEEPEST = 40
_MEMBERS = 4096
_DTYPES = {np.dtype(t) for t in (np.float32, np.float64, np.uint8, np.int64, np.uint64, np.uint32)}


def write(document: dict[str, Any], path: Path) -> None:
    """Write ``document`` to ``path``: a temporary file in the same folder, synced, then renamed over it."""
    arrays: dict[str, Array] = {}
    text = json.dumps(_packed(document, "", arrays), allow_nan=True, separators=(",", ":"))
    members = {_DOCUMENT: np.frombuffer(text.encode(), np.uint8), **arrays}
    members[_CHECKSUM] = np.frombuffer(_digest(members), np.uint8)
    folder = path.parent
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for member, array in members.items():
                    with archive.open(f"{member}.npy", "w", force_zip64=True) as stream:
                        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    if os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read(path: Path) -> dict[str, Any]:
    """Return the document in ``path``; anything but an intact file of ours is a ValueError that says so."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, size)
        stored = members.pop(_CHECKSUM, None)
        text = members.get(_DOCUMENT)
        if stored is None or text is None:
            raise ValueError("it lacks the members of a relu_layers file")
        if stored.tobytes() != _digest(members):
            raise ValueError("its checksum does not match: the file is damaged")
        del members[_DOCUMENT]
        if text.size > _LONGEST_DOCUMENT:
            raise ValueError("its description is too long")
        document = _unpacked(json.loads(text.tobytes().decode()), members)
    except (ValueError, KeyError, TypeError, EOFError, NotImplementedError, RecursionError) as error:
        raise ValueError(f"{path} is not a readable relu_layers file: {_reason(error)}") from None
    except (zipfile.BadZipFile, OverflowError, SyntaxError, MemoryError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} is not a readable relu_layers file: {_reason(error)}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} is not a readable relu_layers file: its description is not a mapping")
    return document


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digest(members: dict[str, Array]) -> bytes:
    """Return the SHA-256 of all names, dtypes, shapes and contents."""
    total = hashlib.sha256()
    for name in sorted(members):
        array = members[name]
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.digest()


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, Array]:
    entries = archive.infolist()
    if len(entries) > _MEMBERS:
        raise ValueError("it has too many members")
    if sum(entry.file_size for entry in entries) > size:
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
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError("a member has an unknown array format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=4096)
    if dtype not in _DTYPES or fortran or any(length < 0 for length in shape):
        raise ValueError(f"a member has dtype {dtype} or an order that does not belong")
    count = 1
    for length in shape:
        count *= length
    offset = stream.tell()
    if count * dtype.itemsize != len(content) - offset:
        raise ValueError("a member's shape does not agree with its length")
    return np.frombuffer(content, dtype, count, offset).reshape(shape)


def _packed(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return ``value`` with its arrays moved to ``arrays``, named by where they stood."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, dict):
        return {
            str(key): _packed(item, f"{name}/{key}" if name else str(key), arrays)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_packed(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _unpacked(value: Any, arrays: dict[str, Array], depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("its description is nested too deeply")
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return arrays[value["array"]].copy()
        return {key: _unpacked(item, arrays, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item, arrays, depth + 1) for item in value]
    return value
