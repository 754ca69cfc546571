"""Python values as C99: numbers that keep every bit, text that cannot leave its string, names that are identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from relu_layers._support.configured import Array

# A C99 compiler need not take longer names or strings.
_LONGEST_NAME = 40
_LONGEST_TEXT = 4000
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LINE = 100


def identifier(name: str, origin: str) -> str:
    """Return ``name`` if names in C may start with it, else raise a ValueError that proposes one."""
    if _IDENTIFIER.fullmatch(name) and len(name) <= _LONGEST_NAME:
        return name
    proposed = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:_LONGEST_NAME]
    proposed = proposed if _IDENTIFIER.fullmatch(proposed) else f"net_{proposed}".rstrip("_")[:_LONGEST_NAME]
    raise ValueError(
        f"{origin} {name!r} cannot start the names in a C header: expected a letter, then at most "
        f"{_LONGEST_NAME - 1} letters, digits and underscores; pass name={proposed!r}"
    )


def number(value: float | np.floating[Any], dtype: np.dtype[Any]) -> str:
    """Return a finite or infinite number, already rounded to ``dtype``, as the shortest literal that reads back."""
    if np.isinf(value):
        largest = "HUGE_VALF" if dtype == np.float32 else "HUGE_VAL"
        return largest if value > 0 else f"-{largest}"
    digits = str(dtype.type(value))
    return f"{digits}f" if dtype == np.float32 else digits


def scalar(value: float, dtype: np.dtype[Any]) -> str:
    """Return a layer's setting as the ops see it, rounded to ``dtype``."""
    with np.errstate(over="ignore"):
        return number(dtype.type(value), dtype)


def table(declaration: str, items: Iterable[str]) -> str:
    """Return the definition of a constant array."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) > _LINE:
            lines.append(f"    {line.rstrip()}")
            line = ""
        line += f"{item}, "
    lines.append(f"    {line.rstrip(' ,')}")
    body = "\n".join(lines)
    return f"static const {declaration} = {{\n{body}\n}};\n"


def numbers(name: str, values: Array, attribute: str = "") -> str:
    """Return a constant array of the entries of ``values``, row by row, declared with an ``attribute``."""
    kind = "float" if values.dtype == np.float32 else "double"
    declaration = f"{kind} {name}[{values.size}] {attribute}".rstrip()
    return table(declaration, (number(value, values.dtype) for value in values.flat))


def text(what: str, value: str) -> str:
    """Return text as a string literal of its UTF-8 bytes, the same in C99 and C++ and free of trigraphs."""
    try:
        coded = value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{what} {value!r} is not valid Unicode and cannot be written to a C header"
        ) from None
    if len(coded) > _LONGEST_TEXT or 0 in coded:
        trouble = "a character 0" if 0 in coded else f"{len(coded):,} bytes, more than {_LONGEST_TEXT:,}"
        raise ValueError(f"{what} {value[:40]!r} has {trouble}, and cannot be written to a C header")
    return f'"{"".join(map(_byte, coded))}"'


def _byte(code: int) -> str:
    """Return one byte of a string literal: plain where it is harmless, else three octal digits."""
    harmless = 32 <= code < 127 and chr(code) not in '"\\?'
    return chr(code) if harmless else f"\\{code:03o}"


def texts(name: str, what: str, values: Sequence[str]) -> str:
    """Return a constant array of strings."""
    return table(f"char *const {name}[{len(values)}]", (text(what, value) for value in values))
