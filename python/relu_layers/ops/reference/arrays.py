"""The rules that every reference op keeps about its arrays: what may come in, where results go.

Inputs are NumPy arrays (or memory maps) of float32 or float64, all of one dtype, of any layout; other CPU
objects may come in through DLPack. Results go to a new array, or to ``out``, which is never converted, copied
or resized.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray  # importing it takes a tenth of what NumPy takes

FloatArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def as_array(op: str, name: str, value: object) -> NDArray[Any]:
    """Return `value` as a plain array without converting its elements; TypeError for what is not one."""
    if type(value) is np.ndarray or type(value) is np.memmap:
        array: NDArray[Any] = np.asarray(value)
    elif isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        raise TypeError(
            f"{op}: {name} is a {type(value).__name__}, expected a numpy.ndarray: pass np.asarray({name}), "
            "with masks resolved and frames converted by hand"
        )
    else:
        array = np.from_dlpack(value)
    if not array.dtype.isnative:
        raise TypeError(
            f"{op}: {name} is byte-swapped ({array.dtype.str}), expected native byte order: "
            f"pass {name}.astype({name}.dtype.newbyteorder('='))"
        )
    return array


def float_array(
    op: str, name: str, value: object, *, like: FloatArray | None = None, shape: Sequence[int] | None = None
) -> FloatArray:
    """Return `value` as a float32 or float64 array, with the dtype of `like` and the given shape."""
    array = as_array(op, name, value)
    if array.dtype not in _FLOAT_DTYPES:
        raise TypeError(
            f"{op}: {name} has dtype {array.dtype}, expected float32 or float64: "
            f"pass {name}.astype(np.float32)"
        )
    if like is not None and array.dtype != like.dtype:
        raise TypeError(
            f"{op}: {name} has dtype {array.dtype}, expected {like.dtype} as the first array: "
            f"pass {name}.astype(np.{like.dtype})"
        )
    if shape is not None and array.shape != tuple(shape):
        raise ValueError(f"{op}: {name} has shape {array.shape}, expected {tuple(shape)}")
    return array


def contiguous(op: str, name: str, value: object) -> FloatArray:
    """Return `value` as a C-contiguous float32 or float64 array of any shape."""
    array = float_array(op, name, value)
    if not array.flags.c_contiguous:
        raise ValueError(f"{op}: {name} must be C-contiguous: pass np.ascontiguousarray({name})")
    return array


def same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Say whether `b` is element for element the memory of `a` (an exact alias)."""
    return (
        a.size > 0
        and a.ctypes.data == b.ctypes.data
        and a.shape == b.shape
        and a.strides == b.strides
        and a.dtype == b.dtype
    )


def writable(op: str, name: str, value: object, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `value` after the strict checks on an array that will be written."""
    if type(value) is not np.ndarray and type(value) is not np.memmap:
        raise TypeError(
            f"{op}: {name} is a {type(value).__name__}, expected a numpy.ndarray of dtype {dtype}"
        )
    if value.dtype != dtype:
        raise TypeError(
            f"{op}: {name} has dtype {value.dtype}, expected {dtype}: "
            f"pass np.empty({tuple(shape)}, np.{dtype})"
        )
    if value.shape != tuple(shape):
        raise ValueError(f"{op}: {name} has shape {value.shape}, expected {tuple(shape)}")
    if not (value.flags.c_contiguous and value.flags.writeable and value.flags.aligned):
        raise ValueError(
            f"{op}: {name} must be C-contiguous, aligned and writable: "
            f"pass np.empty({tuple(shape)}, np.{dtype})"
        )
    array: NDArray[Any] = np.asarray(value)
    return array


def output(
    op: str,
    out: object,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    *,
    reads: Sequence[NDArray[Any]] = (),
    may_alias: Sequence[NDArray[Any]] = (),
    name: str = "out",
) -> NDArray[Any]:
    """Return the array that takes a result: a new one, or `out` after the strict checks.

    `out` may be exactly one of `may_alias`; any other overlap with them or with `reads` is a ValueError.
    """
    if out is None:
        return np.empty(shape, dtype)
    array = writable(op, name, out, shape, dtype)
    for other in may_alias:
        if np.shares_memory(array, other) and not same_memory(array, other):
            raise ValueError(
                f"{op}: {name} overlaps an input in part: pass the same array or separate memory"
            )
    for other in reads:
        if np.shares_memory(array, other) and not any(same_memory(other, a) for a in may_alias):
            raise ValueError(
                f"{op}: {name} shares memory with an input that is still read: pass separate memory"
            )
    return array


def output_tuple(op: str, out: object, length: int) -> tuple[Any, ...]:
    """Return `out` of an op with several results as a tuple of that length (None stands for new arrays)."""
    if out is None:
        return (None,) * length
    if not isinstance(out, tuple):
        raise TypeError(f"{op}: out is a {type(out).__name__}, expected a tuple of {length} arrays")
    if len(out) != length:
        raise ValueError(f"{op}: out has {len(out)} entries, expected {length}")
    return out


def separate(op: str, *outputs: NDArray[Any] | None) -> None:
    """Raise ValueError if two outputs of one call share memory."""
    present = [array for array in outputs if array is not None]
    for i, first in enumerate(present):
        for second in present[i + 1 :]:
            if np.shares_memory(first, second):
                raise ValueError(f"{op}: two entries of out share memory: pass separate arrays")


def class_axis(op: str, name: str, array: NDArray[Any], axis: int) -> int:
    """Return `axis` counted from the front; ValueError when the array has no such axis."""
    axis = operator.index(axis)
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"{op}: axis is {axis}, but {name} has shape {array.shape} with {array.ndim} axes")
    return axis % array.ndim
