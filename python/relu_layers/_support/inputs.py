"""Arrays that come from outside: taken strictly, or converted once where the contract says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.configured import Array


def strict_array(owner: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return ``value`` as an ndarray of exactly ``dtype``, else raise a TypeError that prints the fix."""
    _refuse_special(owner, name, value)
    foreign = not isinstance(value, np.ndarray)
    if foreign:
        if not hasattr(value, "__dlpack__"):
            raise TypeError(
                f"{owner}: {name} is a {type(value).__name__}, expected a {dtype} array; "
                f"pass np.asarray({name}, dtype=np.{dtype})"
            )
        value = _from_dlpack(owner, name, value)
    array: Array = value
    if array.dtype != dtype:
        # Other libraries' arrays have other ways to convert.
        fix = f"np.asarray({name}, dtype=np.{dtype})" if foreign else f"{name}.astype(np.{dtype})"
        raise TypeError(f"{owner}: {name} is {array.dtype}, expected {dtype}; pass {fix}")
    return array


def converted_array(owner: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return ``value`` as an ndarray of ``dtype``, converted (one copy) only where the dtype differs."""
    _refuse_special(owner, name, value)
    array = any_array(owner, name, value)
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{owner}: {name} has dtype {array.dtype}, expected numbers that convert to {dtype}")
    return array.astype(dtype)


def any_array(owner: str, name: str, value: Any) -> Array:
    """Return ``value`` as an ndarray of whatever dtype it has."""
    if isinstance(value, np.ndarray):
        return value
    return _from_dlpack(owner, name, value) if hasattr(value, "__dlpack__") else np.asarray(value)


def _from_dlpack(owner: str, name: str, value: Any) -> Array:
    """Return another library's array as an ndarray of the same memory, else raise a TypeError with the fix."""
    try:
        return np.from_dlpack(value)
    except Exception as error:
        fix = (
            f"it requires grad: pass {name}.detach()"
            if getattr(value, "requires_grad", False) is True
            else "pass a NumPy array, or a dense array of a NumPy dtype in the memory of the CPU"
        )
        raise TypeError(
            f"{owner}: {name} ({type(value).__name__}) could not be read through DLPack ({error}); {fix}"
        ) from error


def _refuse_special(owner: str, name: str, value: Any) -> None:
    """Raise for array-likes whose meaning NumPy arrays cannot carry: masks, matrices, data frames."""
    if type(value) is np.ndarray:
        return
    bases = {base.__name__ for base in type(value).__mro__}
    if isinstance(value, np.ndarray):
        if "MaskedArray" in bases:
            raise TypeError(f"{owner}: {name} is a masked array; pass {name}.filled(value)")
        if "matrix" in bases:
            raise TypeError(f"{owner}: {name} is an np.matrix; pass np.asarray({name})")
    elif hasattr(value, "to_numpy"):
        raise TypeError(f"{owner}: {name} is a {type(value).__name__}; pass {name}.to_numpy()")
