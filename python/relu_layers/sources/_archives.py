"""NPZ and HDF5: arrays that are stored as they are stay where they are, compressed ones are unpacked once.

The HDF5 library is compiled, and over some damaged files it runs in a circle: another process reads each file first.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from relu_layers._files.archive import refuse_long_directory
from relu_layers._files.damage import NamedFileError, damage_as_value_error
from relu_layers._support.extras import how_to_install
from relu_layers._support.files import check_regular, open_regular
from relu_layers.sources._files import FileArray, npy_header, opened_array
from relu_layers.sources._reading_process import failure_of_reading, path_of
from relu_layers.sources._sizes import MOST_IN_MEMORY, MOST_ON_DISK, refuse_too_large
from relu_layers.sources._spool import Spool, refuse_full_disk
from relu_layers.sources.csv_file import unknown

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_UNPACKED_AT_ONCE = 4 * 2**20
_SMALL = 32 * 2**20
_LONGEST_HEADER = 2**16
_TEXTS_AT_ONCE = 64
_BYTES_PER_TEXT = 16
_MOST_LINKS = 16


def npz_array(path: Path, name: str) -> FileArray:
    """Return an array of an .npz file by name."""
    with (
        open_regular(path) as file,
        damage_as_value_error(f"{path} is damaged or no .npz file of numbers"),
        opened_archive(file) as archive,
    ):
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        entry = entries.get(name)
        if entry is None:
            raise NamedFileError(unknown(path, "array", name, entries))
        _refuse_odd_entry(name, entry, path.stat().st_size)
        if entry.compress_type == zipfile.ZIP_STORED:
            return _stored(path, name, entry)
        with archive.open(entry) as stream:
            return _unpacked(path, name, entry, stream)


def npz_arrays(path: Path) -> dict[str, Any]:
    """Return all arrays of an .npz file in memory: numbers or text."""
    size = path.stat().st_size
    with (
        open_regular(path) as file,
        damage_as_value_error(f"{path} is not a .npz file of plain arrays"),
        opened_archive(file) as archive,
    ):
        entries = archive.infolist()
        refuse_too_large(sum(entry.file_size for entry in entries), size, MOST_IN_MEMORY)
        found: dict[str, Any] = {}
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in found:
                raise ValueError(f"it has two arrays {name!r}")
            _refuse_odd_entry(name, entry, size)
            with archive.open(entry) as stream:
                content = stream.read(entry.file_size + 1)
            found[name] = _plain_array(name, content)
        return found


def _plain_array(name: str, content: bytes) -> Any:
    """Return the array of an .npy member, whose length must be that of its shape."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"array {name!r} is in version {version} of the format")
    shape, _, dtype = read_header(stream, max_header_size=_LONGEST_HEADER)
    if dtype.hasobject:
        raise ValueError(f"Object arrays such as {name!r} are not loaded")
    if not dtype.itemsize:
        raise ValueError(f"array {name!r} is of {dtype}, which takes no bytes")
    if stream.tell() + math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"array {name!r} has {len(content)} bytes, its header says otherwise")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _refuse_odd_entry(name: str, entry: zipfile.ZipInfo, size: int) -> None:
    """Raise a ValueError for an entry that NumPy does not write."""
    if not 0 <= entry.header_offset < size:
        raise ValueError(f"array {name!r} is not inside the file")
    if entry.flag_bits & 1:
        raise ValueError(f"array {name!r} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"array {name!r} is compressed in a way that NumPy does not write")


def opened_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Return an archive whose directory is not too long for what it should hold."""
    refuse_long_directory(file, os.fstat(file.fileno()).st_size)
    return zipfile.ZipFile(file)


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

    return opened_array(open_regular(path), find)


def _unpacked(path: Path, name: str, entry: zipfile.ZipInfo, stream: Any) -> FileArray:
    """Return a compressed array, unpacked into a temporary file."""
    length, shape, dtype = npy_header(stream.read, f"{path}: array {name!r}")
    size = math.prod(shape) * dtype.itemsize
    _refuse_other_size(path, name, entry, length + size)
    refuse_too_large(size, path.stat().st_size, MOST_ON_DISK)
    refuse_full_disk(size, f"{path}: unpacking array {name!r}")
    row_bytes = max(math.prod(shape[1:]) * dtype.itemsize, 1)
    step = max(_UNPACKED_AT_ONCE // row_bytes, 1)

    def blocks() -> Iterable[Any]:
        for start in range(0, shape[0], step):
            count = min(step, shape[0] - start)
            content = stream.read(count * row_bytes)
            yield np.frombuffer(content, dtype).reshape(count, *shape[1:])

    return _spooled(blocks())


def _refuse_other_size(path: Path, name: str, entry: zipfile.ZipInfo, size: int) -> None:
    if entry.file_size != size:
        raise ValueError(f"array {name!r} has {entry.file_size} bytes, its header says {size}")


def _require_h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"an HDF5 file needs h5py: {how_to_install('data')}") from error
    return h5py


def _open_hdf5(path: Path) -> Any:
    h5py = _require_h5py()
    check_regular(path)
    with damage_as_value_error(f"{path} is damaged or no HDF5 file"):
        return h5py.File(path, "r")


def hdf5_array(path: Path, name: str) -> FileArray:
    """Return a data set of an HDF5 file by its path in it."""
    _check_hdf5(path, name)
    return _hdf5_array(path, name)


def hdf5_arrays(path: Path) -> dict[str, Any]:
    """Return the data sets of the root group of an HDF5 file in memory: numbers or text."""
    _check_hdf5(path, None)
    return _hdf5_arrays(path)


def check_hdf5(job: dict[str, Any]) -> None:
    """Read of an HDF5 file what will be read, as `failure_of_reading` asks it of another process."""
    if job["name"] is None:
        _hdf5_arrays(path_of(job))
    else:
        _hdf5_array(path_of(job), job["name"])


def _check_hdf5(path: Path, name: str | None) -> None:
    """Raise a ValueError for a file over which the library would run in a circle, or fail."""
    _require_h5py()
    check_regular(path)
    failure = failure_of_reading("relu_layers.sources._archives:check_hdf5", path, name=name)
    if failure is not None:
        raise NamedFileError(
            failure if str(path) in failure else f"{path} is damaged or no HDF5 file: {failure}"
        )


def _hdf5_array(path: Path, name: str) -> FileArray:
    with damage_as_value_error(f"{path} is damaged: data set {name!r}"), _open_hdf5(path) as file:
        return _data_set(path, name, file)


def _hdf5_arrays(path: Path) -> dict[str, Any]:
    size, total = path.stat().st_size, 0
    found: dict[str, Any] = {}
    with (
        damage_as_value_error(f"{path} is damaged or no HDF5 file of plain arrays"),
        _open_hdf5(path) as file,
    ):
        for name in file:
            item = _object(file, name)
            if item is None:
                raise ValueError(f"{name!r} is a link to what is not there")
            if not hasattr(item, "chunks"):
                continue
            _refuse_odd_data(name, item, file)
            text = item.dtype.kind in "OS" and item.ndim
            total += item.size * max(item.dtype.itemsize, _BYTES_PER_TEXT if text else 0)
            refuse_too_large(total, size, MOST_IN_MEMORY)
            found[name] = _texts(item, size) if text else np.asarray(item[()])
    return found


def _object(file: Any, name: str) -> Any:
    """Return what a path within an open HDF5 file leads to, None where it leads nowhere.

    Soft links are followed here and external ones refused before the library sees them: it would open whatever they
    name, and wait for ever where that is a FIFO.
    """
    import h5py

    place, rest, followed = file, name.split("/")[::-1], 0
    while rest:
        part = rest.pop().encode(errors="surrogateescape")
        if part in (b"", b"."):
            continue
        if not isinstance(place, h5py.Group) or not place.id.links.exists(part):
            return None
        kind = place.id.links.get_info(part).type
        if kind == h5py.h5l.TYPE_SOFT:
            followed += 1
            if followed > _MOST_LINKS:
                raise ValueError(f"the links of {name!r} lead round and round")
            target = place.id.links.get_val(part).decode(errors="surrogateescape")
            place = file if target.startswith("/") else place
            rest += target.split("/")[::-1]
        elif kind == h5py.h5l.TYPE_HARD:
            place = place[part]
        else:
            raise ValueError(f"data set {name!r} keeps its data outside the file")
    return place


def _texts(data: Any, size: int) -> Any:
    """Return a data set of text, its rows read few at a time: many may stand for one long text in the file."""
    texts: list[str] = []
    total = 0
    step = max(_TEXTS_AT_ONCE, _SMALL // max(size, data.dtype.itemsize * math.prod(data.shape[1:]), 1))
    for start in range(0, len(data), step):
        read = [one.decode() for one in np.ravel(data[start : start + step])]
        total += sum(map(len, read))
        refuse_too_large(total, size, MOST_IN_MEMORY)
        texts += read
    return np.array(texts, np.dtypes.StringDType()).reshape(data.shape)


def _refuse_odd_data(name: str, data: Any, file: Any) -> None:
    """Raise a ValueError for a data set whose values are not in the file, or cannot be unpacked in its chunks."""
    if data.external or data.is_virtual or data.file.filename != file.filename:
        raise ValueError(f"data set {name!r} keeps its data outside the file")
    if data.dtype.kind == "O" and _text_kind(data) is None:
        raise ValueError(f"data set {name!r} holds {data.dtype}, expected numbers or text")
    if data.chunks is not None:
        refuse_too_large(math.prod(data.chunks) * data.dtype.itemsize, data.nbytes, 1)


def _text_kind(data: Any) -> Any:
    """Return what h5py knows of the text in a data set, None where it holds something else."""
    import h5py

    return h5py.check_string_dtype(data.dtype)


def _data_set(path: Path, name: str, file: Any) -> FileArray:
    """Return a data set of an open HDF5 file."""
    data = _object(file, name)
    if data is None or not hasattr(data, "chunks"):
        names: list[str] = []
        file.visititems(lambda key, item: names.append(key) if hasattr(item, "chunks") else None)
        raise NamedFileError(unknown(path, "data set", name, names))
    _refuse_odd_data(name, data, file)
    if data.dtype.kind not in "fiub" or data.ndim == 0:
        raise NamedFileError(
            f"{path}: data set {name!r} is {data.dtype} of shape {data.shape}, expected rows of numbers"
        )
    place = data.id.get_offset()
    plain = data.chunks is None and data.external is None and not file.userblock_size
    if plain and place is not None and data.id.get_storage_size() == data.nbytes:
        shape, dtype = data.shape, data.dtype
        return opened_array(open_regular(path), lambda opened: FileArray(opened, path, place, shape, dtype))
    refuse_too_large(data.nbytes, path.stat().st_size, MOST_ON_DISK)
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
