"""Messages between the benchmark and its workers: one line of JSON, followed by the bytes of its arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def send(stream: IO[bytes], fields: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Write one message."""
    contiguous = [np.ascontiguousarray(array) for array in arrays]
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    stream.write(json.dumps({**fields, "arrays": described}).encode() + b"\n")
    for array in contiguous:
        stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    """Read one message; EOFError if the other side is gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the other process ended")
    fields: dict[str, Any] = json.loads(line)
    arrays = []
    for dtype, shape in fields.pop("arrays"):
        array = np.empty(shape, dtype)
        view = array.reshape(-1).view(np.uint8).data
        while len(view):
            count = stream.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EOFError("the other process ended")
            view = view[count:]
        arrays.append(array)
    return fields, arrays
