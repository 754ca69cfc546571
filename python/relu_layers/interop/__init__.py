"""Conversions to other libraries: `interop.torch` for PyTorch. Each imports its library on first use.

Array libraries need none of them: NumPy arrays go out, and their arrays come in, through DLPack.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = ("torch",)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return import_module(f"relu_layers.interop.{name}")
    raise AttributeError(f"module 'relu_layers.interop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOORS})
