"""safetensors: a whole document in the file format of Hugging Face (the extra ``io``), also with PyTorch's names.

Arrays are the file's tensors. The rest of the document stands in the header's metadata under ``relu_layers``, with
a SHA-256 of it all. A file of another program holds parameters alone. The library checks header, offsets and sizes
against the length of the file; what it leaves open is checked here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from relu_layers._files.document import digest, pack, unpack
from relu_layers._files.parameter_names import torch_names
from relu_layers._support.arguments import choice
from relu_layers._support.configured import Array
from relu_layers._support.extras import how_to_install
from relu_layers._support.files import open_regular, write_atomically

NAMES = ("relu_layers", "torch")
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_LONGEST_HEADER = 64 * 2**20


def write(document: dict[str, Any], path: str, *, names: str = "relu_layers") -> None:
    """Write ``document`` to ``path``.

    Parameters
    ----------
    document : dict
        Of JSON values and arrays.
    path : str
    names : {"relu_layers", "torch"}
        "torch" gives parameters the names and the layout that a ``torch.nn.Sequential`` of the same layers has,
        so that its ``load_state_dict`` takes what ``safetensors.torch.load_file`` reads; for models alone.

    Raises
    ------
    ValueError
        The document cannot be written so.
    ImportError
        safetensors is not installed; the message names the extra.
    """
    choice("safetensors", "names", names, NAMES)
    if names == "torch" and document.get("kind") != "model":
        raise ValueError(f"{path}: names='torch' is for a model alone, not for a {document.get('kind')}")
    text, arrays = pack(document)
    metadata = {
        "relu_layers": text.decode(),
        "sha256": digest({**arrays, "": np.frombuffer(text, np.uint8)}).hex(),
    }
    tensors = arrays
    if names == "torch":
        moved = _torch_places(document["model"])
        back = {theirs: (own, transposed) for own, (theirs, transposed) in moved.items()}
        metadata |= {"format": "pt", "names": json.dumps(back)}
        tensors = {
            moved[name][0]: np.ascontiguousarray(array.T) if moved[name][1] else array
            for name, array in arrays.items()
        }
    content = memoryview(_library().save(tensors, metadata=metadata))
    header, data = _split(content)
    # The library writes the metadata in the order of its hash table, another one every time.
    ordered = {"__metadata__": metadata, **{name: header[name] for name in header if name != "__metadata__"}}
    start = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
    start += b" " * (-len(start) % 8)

    def fill(file: BinaryIO) -> None:
        file.write(len(start).to_bytes(8, "little") + start)
        file.write(data)

    write_atomically(path, fill)


def read(path: str, *, names: str | None = None) -> dict[str, Any]:
    """Return the document in ``path``, or the parameters that another program wrote.

    Parameters
    ----------
    path : str
    names : {"relu_layers", "torch"}, optional
        Whose names and layout the parameters in a file of another program have; by default PyTorch's where the file
        says that it is from there.

    Returns
    -------
    document : dict
        For parameters alone ``{"kind": "parameters", "names": names, "parameters": {name: array}}``.

    Raises
    ------
    ValueError
        The file is damaged, or not such a file.
    ImportError
        safetensors is not installed; the message names the extra.
    """
    if names is not None:
        choice("safetensors", "names", names, NAMES)
    library = _library()
    with open_regular(path) as file:
        content = file.read(os.fstat(file.fileno()).st_size)
    try:
        return _document(content, library, names)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors file: {error or type(error).__name__}"
        ) from None


def _split(content: memoryview) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a file of this format and the bytes after it."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(bytes(content[8:end])), content[end:]


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f".safetensors files need safetensors: {how_to_install('io')}") from error
    return safetensors.numpy


def _document(content: bytes, library: Any, names: str | None) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    if length > min(len(content) - 8, _LONGEST_HEADER):
        raise ValueError(f"its header claims {length} bytes of {len(content)}")
    import safetensors

    try:
        entries = library.deserialize(content)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_without_doubles)
    metadata = header.get("__metadata__") or {}
    tensors = dict(_arrays(entries))
    if "relu_layers" not in metadata:
        return _parameters(tensors, metadata, names)
    moved = json.loads(metadata.get("names", "{}"))
    text = metadata["relu_layers"].encode()
    arrays = {}
    for name, array in tensors.items():
        own, transposed = moved.get(name, (name, False))
        arrays[own] = np.ascontiguousarray(array.T) if transposed else array
    if digest({**arrays, "": np.frombuffer(text, np.uint8)}).hex() != metadata.get("sha256"):
        raise ValueError("its checksum does not match, so the file is damaged")
    return unpack(text, arrays)


def _parameters(tensors: dict[str, Array], metadata: dict[str, str], names: str | None) -> dict[str, Any]:
    if names is None and metadata.get("format") != "pt":
        raise ValueError(
            "it is not from this package and does not say whose names its parameters have: load it in Python with "
            "names='torch' (weights are (out, in)) or names='relu_layers' (weights are (in, out))"
        )
    return {"kind": "parameters", "names": names or "torch", "parameters": tensors}


def _arrays(entries: Any) -> Iterator[tuple[str, Array]]:
    for name, entry in entries:
        kind, data = entry["dtype"], entry["data"]
        if kind == "BF16":
            # The upper half of a float32.
            high: Array = np.frombuffer(data, "<u2").astype(np.uint32) << 16
            array = high.view(np.float32)
        elif kind in _DTYPES:
            array = np.frombuffer(data, _DTYPES[kind])
        else:
            raise ValueError(f"tensor {name!r} is {kind}, expected one of {', '.join([*_DTYPES, 'BF16'])}")
        yield name, array.reshape(entry["shape"])


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header names something twice")
    return found


def _torch_places(model: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return PyTorch's name for each array in the document, and whether it is transposed."""
    names = torch_names((layer["name"] for layer in model["layers"]), model["params"])
    return {f"model/params/{key}": place for key, place in names.items()}
