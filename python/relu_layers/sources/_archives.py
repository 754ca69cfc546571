"""NPZ and HDF5: arrays that are stored as they are stay where they are, compressed ones are unpacked once."""

from __future__ import annotations

import errno
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from relu_layers.sources._files import FileArray, npy_header, opened_array
from relu_layers.sources._spool import Spool, refuse_full_disk
from relu_layers.sources.csv_file import unknown

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_UNPACKED_AT_ONCE = 4 * 2**20


def npz_array(path: Path, name: str) -> FileArray:
    """Return an array of an .npz file by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            entry = entries.get(name)
            if entry is None:
                raise ValueError(unknown(path, "array", name, entries))
            if not 0 <= entry.header_offset < path.stat().st_size:
                raise ValueError(f"{path} is damaged: array {name!r} is not inside the file")
            if entry.flag_bits & 1:
                raise ValueError(f"{path}: array {name!r} is encrypted")
            if entry.compress_type == zipfile.ZIP_STORED:
                return _stored(path, name, entry)
            if entry.compress_type != zipfile.ZIP_DEFLATED:
                raise ValueError(f"{path}: array {name!r} is compressed in a way that NumPy does not write")
            with archive.open(entry) as stream:
                return _unpacked(path, name, entry, stream)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, struct.error) as error:
        raise ValueError(f"{path} is damaged or no .npz file: {error}") from error


def _stored(path: Path, name: str, entry: zipfile.ZipInfo) -> FileArray:
    """Return an array that lies in the archive as it is."""

    def find(file: BinaryIO) -> FileArray:
        file.seek(entry.header_offset)
        mark, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if mark != b"PK\x03\x04":
            raise ValueError(f"{path} is damaged: array {name!r} is not where the directory says")
        begin = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        file.seek(begin)
        length, shape, dtype = npy_header(file.read, f"{path}: array {name!r}")
        _refuse_other_size(path, name, entry, length + math.prod(shape) * dtype.itemsize)
        return FileArray(file, path, begin + length, shape, dtype)

    return opened_array(path.open("rb"), find)


def _unpacked(path: Path, name: str, entry: zipfile.ZipInfo, stream: Any) -> FileArray:
    """Return a compressed array, unpacked into a temporary file."""
    length, shape, dtype = npy_header(stream.read, f"{path}: array {name!r}")
    size = math.prod(shape) * dtype.itemsize
    _refuse_other_size(path, name, entry, length + size)
    refuse_full_disk(size, f"{path}: unpacking array {name!r}")
    row_bytes = max(math.prod(shape[1:]) * dtype.itemsize, 1)
    step = max(_UNPACKED_AT_ONCE // row_bytes, 1)

    def blocks() -> Iterable[Any]:
        for start in range(0, shape[0], step):
            count = min(step, shape[0] - start)
            content = stream.read(count * row_bytes)
            yield np.frombuffer(content, dtype).reshape(count, *shape[1:])

    try:
        return _spooled(blocks())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: array {name!r}: {error}") from error


def _refuse_other_size(path: Path, name: str, entry: zipfile.ZipInfo, size: int) -> None:
    if entry.file_size != size:
        raise ValueError(
            f"{path} is damaged: array {name!r} has {entry.file_size} bytes, its header says {size}"
        )


def open_hdf5(path: Path) -> Any:
    """Return an HDF5 file, open for reading."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError('an HDF5 file needs h5py: pip install "relu_layers[data]"') from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is damaged or no HDF5 file: {error}") from error


def hdf5_array(path: Path, name: str) -> FileArray:
    """Return a data set of an HDF5 file by its path in it."""
    with open_hdf5(path) as file:
        try:
            return _data_set(path, name, file)
        except (OSError, RuntimeError, KeyError, TypeError, OverflowError) as error:
            # Errors that h5py raises on damage; a full disk is another matter.
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            raise ValueError(f"{path} is damaged: data set {name!r}: {error}") from error


def _data_set(path: Path, name: str, file: Any) -> FileArray:
    """Return a data set of an open HDF5 file."""
    data = file.get(name)
    if data is None or not hasattr(data, "chunks"):
        names: list[str] = []
        file.visititems(lambda key, item: names.append(key) if hasattr(item, "chunks") else None)
        raise ValueError(unknown(path, "data set", name, names))
    if data.dtype.kind not in "fiub" or data.ndim == 0:
        raise ValueError(
            f"{path}: data set {name!r} is {data.dtype} of shape {data.shape}, expected rows of numbers"
        )
    place = data.id.get_offset()
    plain = data.chunks is None and data.external is None and not file.userblock_size
    if plain and place is not None and data.id.get_storage_size() == data.nbytes:
        shape, dtype = data.shape, data.dtype
        return opened_array(path.open("rb"), lambda opened: FileArray(opened, path, place, shape, dtype))
    refuse_full_disk(data.nbytes, f"{path}: unpacking data set {name!r}")
    step = max(_UNPACKED_AT_ONCE // max(data.nbytes // max(len(data), 1), 1), 1)
    # Whole chunks: each is unpacked as a whole whatever is read of it.
    height = 1 if data.chunks is None else data.chunks[0]
    step = -(-step // height) * height
    return _spooled(data[start : start + step] for start in range(0, len(data), step))


def _spooled(blocks: Iterable[Any]) -> FileArray:
    spool = Spool(None)
    try:
        for block in blocks:
            spool.append(block)
        return spool.finish()
    except BaseException:
        spool.close()
        raise
