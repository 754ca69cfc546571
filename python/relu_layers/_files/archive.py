"""The directory of a zip archive, looked at before the library makes an object of each of its entries."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

# An entry takes some ten times the memory of its 46 bytes and its name.
_LONGEST_DIRECTORY = 4 * 2**20
_END = struct.Struct("<4s8xL6x")
_END_64 = struct.Struct("<4s36xQ8x")
_LOCATOR_BYTES = 20
_LONGEST_COMMENT = 2**16


def refuse_long_directory(file: BinaryIO, size: int) -> None:
    """Raise a ValueError if the directory of an archive of ``size`` bytes is longer than any of this package's.

    Where there is none, the library says so.
    """
    file.seek(max(size - _LONGEST_COMMENT - _END.size - _LOCATOR_BYTES - _END_64.size, 0))
    tail = file.read()
    file.seek(0, os.SEEK_SET)
    at = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    if at < 0:
        return
    lengths = [_END.unpack_from(tail, at)[1]]
    longer = at - _LOCATOR_BYTES - _END_64.size
    if longer >= 0 and tail[longer : longer + 4] == b"PK\x06\x06":
        lengths.append(_END_64.unpack_from(tail, longer)[1])
    # 2**32 - 1 stands for the other one.
    longest = max(length for length in lengths if length != 2**32 - 1 or len(lengths) == 1)
    if longest > _LONGEST_DIRECTORY:
        raise ValueError(f"its directory has {longest} bytes, more than {_LONGEST_DIRECTORY}")
