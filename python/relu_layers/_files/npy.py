"""The header of an .npy file, read without NumPy's parser, which evaluates it, and written for a known length."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_LONGEST = 2**16
_START = re.compile(rb"\x93NUMPY([\x01\x02\x03])\x00", re.DOTALL)
_TEXT = re.compile(
    rb"\{'descr': '([<>|=][biuf][1248])', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \} *\n"
)


class Header(NamedTuple):
    """An array of numbers as its header describes it; the array begins ``length`` bytes after the file does."""

    length: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool


def read_header(read: Callable[[int], bytes], name: Any) -> Header:
    """Return the header of the .npy content that ``read(size)`` gives from its start on.

    Raises
    ------
    ValueError
        It is no .npy content, or no array of numbers; the message begins with ``name``.
    """
    start = read(8)
    match = _START.fullmatch(start)
    if match is None:
        raise ValueError(f"{name} is not an .npy file: it begins with {start!r}")
    width, form = (2, "<H") if match[1] == b"\x01" else (4, "<I")
    counted = read(width)
    length = struct.unpack(form, counted)[0] if len(counted) == width else _LONGEST + 1
    text = read(length) if length <= _LONGEST else b""
    header = _TEXT.fullmatch(text)
    if header is None:
        raise ValueError(
            f"{name} is damaged or no array of numbers: its header is {text[:80].decode('latin-1')!r}"
        )
    try:
        dtype = np.dtype(header[1].decode())
        shape = tuple(int(one) for one in header[3].replace(b" ", b"").split(b",") if one)
    except (TypeError, ValueError):
        raise ValueError(f"{name} has an unknown dtype or shape: {text[:80].decode('latin-1')!r}") from None
    return Header(8 + width + length, shape, dtype, header[2] == b"True")


def header_bytes(shape: tuple[int, ...], dtype: np.dtype[Any], length: int) -> bytes:
    """Return the header of an array in row order, padded to ``length`` bytes."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", length - 10) + text.encode()
    return start.ljust(length - 1) + b"\n"
