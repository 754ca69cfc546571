"""Argument checks whose messages name the argument, what came, what was expected and the nearest fix."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest of ``names``, or an empty string if none is close."""
    import difflib  # only messages need it, and it is slow to import

    matches = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def choice(owner: str, name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise a ValueError that lists them."""
    options = tuple(choices)
    if isinstance(value, str) and value in options:
        return value
    hint = nearest(value, options) if isinstance(value, str) else ""
    raise ValueError(f"{owner}: {name} is {value!r}, expected one of {', '.join(options)}{hint}")


def real(owner: str, name: str, value: object, *, finite: bool = True) -> float:
    """Return ``value`` as a Python float; bool, strings and arrays are a TypeError, NaN is a ValueError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {name} is {value!r} of type {type(value).__name__}, expected a number")
    number = float(value)
    if math.isnan(number) or (finite and math.isinf(number)):
        expected = "a finite number" if finite else "a number"
        raise ValueError(f"{owner}: {name} is {number}, expected {expected}")
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
