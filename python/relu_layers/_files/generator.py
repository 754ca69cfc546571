"""The state of a NumPy generator as a part of a document, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def generator_document(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state as plain values."""
    state = dict(rng.bit_generator.state)
    if state["bit_generator"] not in _BIT_GENERATORS:
        raise ValueError(f"bit generator {state['bit_generator']!r} cannot be written to a file")
    return state


def set_generator(rng: np.random.Generator, state: dict[str, Any]) -> np.random.Generator:
    """Return a generator in ``state``: ``rng`` itself where it is of the same kind."""
    name = state["bit_generator"]
    if name not in _BIT_GENERATORS:
        raise ValueError(f"bit generator {name!r} is not one of {', '.join(_BIT_GENERATORS)}")
    if type(rng.bit_generator).__name__ != name:
        rng = np.random.Generator(getattr(np.random, name)())
    rng.bit_generator.state = state
    return rng
