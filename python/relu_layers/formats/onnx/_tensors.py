"""TensorProto to array: sizes are checked against the bytes that are there, before memory is allocated."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from onnx import TensorProto

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._external import External

FLOATS: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
}
# What a network may be of: halves are read as the float32 numbers that they are.
READ_AS: dict[int, np.dtype[Any]] = {
    **FLOATS,
    TensorProto.FLOAT16: np.dtype(np.float32),
    TensorProto.BFLOAT16: np.dtype(np.float32),
}
# Element type -> dtype, and the field that holds the elements where raw_data does not. The integers are shapes.
_KINDS: dict[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype(np.float32), "float_data"),
    TensorProto.DOUBLE: (np.dtype(np.float64), "double_data"),
    TensorProto.INT32: (np.dtype(np.int32), "int32_data"),
    TensorProto.INT64: (np.dtype(np.int64), "int64_data"),
    TensorProto.BOOL: (np.dtype(np.bool_), "int32_data"),
    **dict.fromkeys((TensorProto.FLOAT16, TensorProto.BFLOAT16), (np.dtype(np.uint16), "int32_data")),
}
_MOST_AXES = 8


def type_name(kind: int) -> str:
    """Return how ONNX calls an element type."""
    try:
        return str(TensorProto.DataType.Name(kind))
    except ValueError:
        return f"type {kind}"


def array_of(tensor: Any, external: External | None = None) -> Array:
    """Return the array of a TensorProto, read-only; a ValueError names the tensor. Halves become float32.

    Data outside the file are read with ``external``, and refused without it. Texts are an array of str objects.
    """
    name = f"tensor {tensor.name!r}"
    outside = tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)
    if (outside and external is None) or tensor.HasField("segment"):
        raise ValueError(f"{name} is kept outside the file, expected its data inside")
    if tensor.data_type == TensorProto.STRING and not outside:
        return _texts(tensor)
    if tensor.data_type not in _KINDS:
        expected = ", ".join(map(type_name, _KINDS))
        raise ValueError(f"{name} is of {type_name(tensor.data_type)}, expected one of {expected}")
    dtype, field = _KINDS[tensor.data_type]
    shape = tuple(tensor.dims)
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise ValueError(
            f"{name} has dims {shape[: _MOST_AXES + 1]}, expected at most {_MOST_AXES}, none below 0"
        )
    count = math.prod(shape)
    raw = tensor.raw_data
    elements = getattr(tensor, field)
    if outside and external is not None:
        if raw or len(elements) or tensor.data_location != TensorProto.EXTERNAL:
            raise ValueError(f"{name} has data inside the file and outside")
        try:
            raw = external.read(tensor, count * dtype.itemsize)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    given = len(raw) // dtype.itemsize if raw else len(elements)
    if count != given or (raw and (len(elements) or len(raw) % dtype.itemsize)):
        held = f"{len(raw)} bytes" if raw else f"{len(elements)} elements"
        raise ValueError(f"{name} has dims {shape}, which need {count} elements of {dtype}, but holds {held}")
    if dtype == np.bool_:
        array: Array = (np.frombuffer(raw, np.uint8) if raw else np.array(elements, np.int64)) != 0
    elif raw:
        array = np.frombuffer(raw, dtype)
        array = array.byteswap() if sys.byteorder == "big" else array
    else:
        array = (
            np.array(elements, np.int64).astype(dtype) if dtype == np.uint16 else np.array(elements, dtype)
        )
    if tensor.data_type == TensorProto.FLOAT16:
        array = array.view(np.float16).astype(np.float32)
    elif tensor.data_type == TensorProto.BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape)


def _texts(tensor: Any) -> Array:
    """Return the texts of a TensorProto in one axis, whatever its dims: they name classes."""
    if math.prod(tensor.dims) != len(tensor.string_data):
        raise ValueError(
            f"tensor {tensor.name!r} has dims {tuple(tensor.dims)[:9]}, but holds {len(tensor.string_data)} texts"
        )
    return np.array([bytes(text).decode(errors="replace") for text in tensor.string_data], object)
