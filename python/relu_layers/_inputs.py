"""Arrays that come from outside: taken strictly, or converted once where the contract says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._configured import Array


def strict_array(owner: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return ``value`` as an ndarray of exactly ``dtype``, else raise a TypeError that prints the fix."""
    _refuse_special(owner, name, value)
    if not isinstance(value, np.ndarray):
        if not hasattr(value, "__dlpack__"):
            raise TypeError(
                f"{owner}: {name} is a {type(value).__name__}, expected a {dtype} array; "
                f"pass np.asarray({name}, dtype=np.{dtype})"
            )
        value = np.from_dlpack(value)
    array: Array = value
    if array.dtype != dtype:
        raise TypeError(f"{owner}: {name} is {array.dtype}, expected {dtype}; pass {name}.astype(np.{dtype})")
    return array


def converted_array(owner: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return ``value`` as an ndarray of ``dtype``, converted (one copy) only where the dtype differs."""
    _refuse_special(owner, name, value)
    if not isinstance(value, np.ndarray):
        value = np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value)
    array: Array = value
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{owner}: {name} has dtype {array.dtype}, expected numbers that convert to {dtype}")
    return array.astype(dtype)


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
