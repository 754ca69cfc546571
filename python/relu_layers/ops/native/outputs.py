"""The ``out`` of ops with several results."""

from __future__ import annotations

from typing import Any


def outputs(op: str, out: Any, length: int) -> tuple[Any, ...]:
    """Return ``out`` of an op with several results as a tuple; None stands for new arrays."""
    if out is None:
        return (None,) * length
    if not isinstance(out, tuple):
        raise TypeError(f"{op}: out is a {type(out).__name__}, expected a tuple of {length} arrays")
    if len(out) != length:
        raise ValueError(f"{op}: out has {len(out)} entries, expected {length}")
    return out
