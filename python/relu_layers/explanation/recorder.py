"""An ops namespace that computes with another one and records the calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from relu_layers._support.configured import Array, Ops


@dataclass(frozen=True)
class Call:
    """One call of an op: its name, its arguments by name and its result, arrays as copies."""

    op: str
    arguments: dict[str, Any]
    result: Any


class Recorder:
    """The functions of ``base``, each of which notes its calls.

    Without `FUSES_RELU`, so a model calls one op per layer, to the bits of the fused ones.

    Parameters
    ----------
    base : namespace
        Computes.
    replaced : mapping of str to callable, optional
        Functions that take the place of those of ``base``.
    """

    def __init__(self, base: Ops, replaced: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._base = base
        self._replaced = dict(replaced or {})
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "FUSES_RELU":
            raise AttributeError(name)
        function = self._replaced.get(name) or getattr(self._base, name)
        if not callable(function):
            return function
        signature = inspect.signature(function)

        @wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            # Before the call: an update works in place.
            arguments = {key: _kept(value) for key, value in given.items() if key != "out"}
            result = function(*args, **kwargs)
            self.calls.append(Call(name, arguments, _kept(result)))
            return result

        self.__dict__[name] = recorded
        return recorded

    def last(self, ending: str) -> Call | None:
        """Return the last call of an op whose name ends so, None if there was none."""
        return next((call for call in reversed(self.calls) if call.op.endswith(ending)), None)

    def local_derivative(self, shape: tuple[int, ...]) -> Array | None:
        """Return dy/dx of an elementwise op: its own backward, called again with dy = 1.

        None where the last backward was not elementwise (a product, a softmax) or had another ``shape``.
        """
        call = self.last("_backward")
        if call is None or "axis" in call.arguments or "weight" in call.arguments:
            return None
        dy = call.arguments.get("dy")
        if dy is None or dy.shape != shape:
            return None
        arguments = {key: value for key, value in call.arguments.items() if key != "need_dx"}
        result = getattr(self._base, call.op)(**arguments | {"dy": np.ones_like(dy)})
        derivative: Array = result[0] if isinstance(result, tuple) else result
        return derivative


def _kept(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple):
        return tuple(map(_kept, value))
    return value
