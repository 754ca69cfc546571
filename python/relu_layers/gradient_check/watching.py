"""What bare NumPy code compares with 0: its arrays are watched while it runs, and its masks can be held or turned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relu_layers._support.configured import Array

# Comparisons of h with 0, and of 0 with h, by how they are written for h; and each one's opposite at exactly 0.
_WRITTEN: dict[Any, tuple[str, str]] = {
    np.greater: ("h > 0", "h < 0"),
    np.greater_equal: ("h >= 0", "h <= 0"),
    np.less: ("h < 0", "h > 0"),
    np.less_equal: ("h <= 0", "h >= 0"),
    np.maximum: ("maximum(h, 0)", "maximum(h, 0)"),
}
TURNED = {"h > 0": "h >= 0", "h >= 0": "h > 0", "h < 0": "h <= 0", "h <= 0": "h < 0"}
_MASKS: dict[str, Callable[[Array], Array]] = {
    "h > 0": lambda h: h > 0,
    "h >= 0": lambda h: h >= 0,
    "h < 0": lambda h: h < 0,
    "h <= 0": lambda h: h <= 0,
}


@dataclass(frozen=True)
class Comparison:
    """One comparison of an array with 0: how it was written, and the array."""

    written: str
    array: Array


class Watch:
    """One run of a function whose parameters are watched.

    Parameters
    ----------
    turned : collection of int
        Comparisons, counted from 0, that answer as their opposite at exactly 0 would: ``h <= 0`` for ``h < 0``.
    held : list of ndarray or None
        Where every comparison's array is taken to lie above 0, whatever it holds.
    """

    def __init__(self, turned: Collection[int] = (), held: list[Array] | None = None) -> None:
        self.comparisons: list[Comparison] = []
        self._turned, self._held = turned, held

        class Watched(_Watched):
            watch = self

        self._kind = Watched

    def run(self, function: Callable[[Any], Any], params: Mapping[str, Array]) -> Any:
        """Return what the function returns for copies of the parameters."""
        return function({name: array.copy().view(self._kind) for name, array in params.items()})

    def compare(self, written: str, h: Array) -> Array:
        """Note a comparison and return its outcome."""
        place = len(self.comparisons)
        self.comparisons.append(Comparison(written, h.copy()))
        above = h > 0
        if self._held is not None:
            if place >= len(self._held) or self._held[place].shape != h.shape:
                raise UnsteadyError
            above = self._held[place]
            if written in _MASKS:
                return above if ">" in written else ~above
        if written not in _MASKS:
            return np.where(above | np.isnan(h), h, np.zeros((), h.dtype))
        return _MASKS[TURNED[written] if place in self._turned else written](h)


class UnsteadyError(Exception):
    """The function compares other arrays in one run than in another."""


class _Watched(np.ndarray):
    """An array whose comparisons with 0 its `Watch` answers."""

    # Above plain arrays, so that `data.dot(weight)` is watched as well.
    __array_priority__ = 100.0
    watch: Watch

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [_plain(one) for one in inputs]
        out = kwargs.get("out")
        if out is not None:
            kwargs["out"] = tuple(map(_plain, out))
        if method == "__call__" and ufunc in _WRITTEN and out is None and "where" not in kwargs:
            found = _against_zero(ufunc, plain)
            if found is not None:
                result: Any = self.watch.compare(*found)
                return result if result.dtype == bool else result.view(type(self))
        result = getattr(ufunc, method)(*plain, **kwargs)
        if out is not None and len(out) == 1:
            return out[0]
        return result.view(type(self)) if type(result) is np.ndarray else result


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Watched) else value


def _against_zero(ufunc: Any, operands: list[Any]) -> tuple[str, Array] | None:
    """Return how an array is compared with 0, and the array; None where it is compared with something else."""
    for place, (one, other) in enumerate((operands, operands[::-1])):
        if isinstance(one, np.ndarray) and one.dtype.kind == "f" and np.ndim(other) == 0 and other == 0:
            return _WRITTEN[ufunc][place], one
    return None
