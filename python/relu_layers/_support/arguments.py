"""Arguments: names that are known, checked numbers and words, arrays converted where the contract says so.

Messages name the argument, what came, what was expected and the nearest fix.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable, Iterable
from numbers import Real
from types import CodeType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from relu_layers._support.arrays import Array
from relu_layers._support.spelling import nearest as nearest
from relu_layers._support.spelling import unknown_argument

P = ParamSpec("P")
R = TypeVar("R")


def named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with a TypeError for an unknown argument that says what it is called here."""
    if function.__code__.co_flags & inspect.CO_VARKEYWORDS:
        return function
    names = own_arguments(function)
    known = frozenset(names)
    owner = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs and not known.issuperset(kwargs):
            unknown = next(name for name in kwargs if name not in known)
            raise TypeError(
                f"{owner} has no argument {unknown!r}{unknown_argument(unknown, names, kwargs[unknown])}"
            )
        return function(*args, **kwargs)

    return checked


def own_arguments(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments of a function, ``self`` left out."""
    code: CodeType = function.__code__  # a signature takes ten times as long, at import
    return [name for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if name != "self"]


def choice(owner: str, name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise a ValueError that lists them."""
    options = tuple(choices)
    if isinstance(value, str) and value in options:
        return value
    hint = nearest(value, options) if isinstance(value, str) else ""
    raise ValueError(f"{owner}: {name} is {value!r}, expected one of {', '.join(options)}{hint}")


def real(owner: str, name: str, value: object, *, finite: bool = True, minimum: float | None = None) -> float:
    """Return ``value`` as a Python float that is at least ``minimum``.

    Bool, strings and arrays are a TypeError, NaN and, with ``finite``, infinity a ValueError.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {name} is {value!r} of type {type(value).__name__}, expected a number")
    number = float(value)
    if math.isnan(number) or (finite and math.isinf(number)):
        expected = "a finite number" if finite else "a number"
        raise ValueError(f"{owner}: {name} is {number}, expected {expected}")
    if minimum is not None and number < minimum:
        raise ValueError(f"{owner}: {name} is {number}, expected at least {minimum:g}")
    return number


def fraction(owner: str, name: str, value: object) -> float:
    """Return ``value`` as a float in [0, 1)."""
    number = real(owner, name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{owner}: {name} is {number}, expected at least 0 and below 1")
    return number


def integer(owner: str, name: str, value: Any, *, minimum: int | None = None) -> int:
    """Return ``value`` as a Python int that is at least ``minimum``; bool and float are a TypeError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner}: {name} is {value!r} of type {type(value).__name__}, expected an integer")
    number = operator.index(value)
    if minimum is not None and number < minimum:
        raise ValueError(f"{owner}: {name} is {number}, expected at least {minimum}")
    return number


def boolean(owner: str, name: str, value: object) -> bool:
    """Return ``value`` if it is True or False, else raise a TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} is {value!r}, expected True or False")
    return value


def strict_array(owner: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return ``value`` as an ndarray of exactly ``dtype``, else raise a TypeError that prints the fix."""
    _refuse_special(owner, name, value)
    foreign = not isinstance(value, np.ndarray)
    if foreign:
        if not hasattr(value, "__dlpack__"):
            as_numbers(owner, name, value)  # what is advised has to run
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
    if hasattr(value, "__dlpack__"):
        return _from_dlpack(owner, name, value)
    _refuse_sparse(owner, name, value)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise TypeError(
            f"{owner}: {name} is no array of numbers ({error}); pass rows of equal length"
        ) from None


def as_numbers(owner: str, name: str, value: Any) -> Array:
    """Return ``value`` as an array of numbers, else raise a TypeError."""
    array = any_array(owner, name, value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{owner}: {name} is a {type(value).__name__}, expected an array of numbers")
    return array


def _refuse_sparse(owner: str, name: str, value: Any) -> None:
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{owner}: {name} is a {type(value).__name__}, which is sparse; pass {name}.toarray()"
        )


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
    _refuse_sparse(owner, name, value)
    if hasattr(value, "to_numpy"):
        raise TypeError(f"{owner}: {name} is a {type(value).__name__}; pass {name}.to_numpy()")
