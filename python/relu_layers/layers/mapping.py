"""Mappings with fixed keys whose values are arrays that stay where they are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import NoReturn

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array


class ArrayMapping(MutableMapping[str, Array]):
    """Names to arrays: assignment copies into the array that is there, so views never come loose.

    Parameters
    ----------
    what : str
        What the values are, for error messages: ``"params"`` or ``"grads"``.
    arrays : dict of str to ndarray
        Shared, not copied: its owner (a layer or a model) may rebind entries, users of the mapping cannot.

    Notes
    -----
    Reading gives the array itself. ``p[k] = a`` copies ``a`` into it after checking shape and dtype, so
    ``p[k] -= rate * g[k]`` works. An unknown key is a KeyError, deletion a TypeError.
    """

    __slots__ = ("_arrays", "_what")

    def __init__(self, what: str, arrays: dict[str, Array]) -> None:
        self._what = what
        self._arrays = arrays

    def __getitem__(self, key: str) -> Array:
        try:
            return self._arrays[key]
        except KeyError:
            raise KeyError(unknown_key(self._what, key, self._arrays)) from None

    def __setitem__(self, key: str, value: Array) -> None:
        target = self[key]
        if value is not target:
            np.copyto(target, checked_value(self._what, key, value, target))

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError(f"{self._what}: keys are fixed, {key!r} cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        entries = ", ".join(f"{k!r}: {a.dtype}{list(a.shape)}" for k, a in self._arrays.items())
        return f"<{self._what} {{{entries}}}>"


def unknown_key(what: str, key: object, names: Mapping[str, object]) -> str:
    """Return the message for a key that is not there, with the nearest name or all of them."""
    hint = nearest(key, names) if isinstance(key, str) else ""
    return f"{what}: no {key!r}{hint or '; the keys are ' + (', '.join(names) or 'none')}"


def checked_value(what: str, key: str, value: object, target: Array) -> Array:
    """Return ``value`` if it is an array of the shape and dtype of ``target``."""
    expected = f"expected a {target.dtype} array of shape {target.shape}"
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{what}[{key!r}]: got {type(value).__name__}, {expected}; "
            f"to fill it write {what}[{key!r}][...] = value"
        )
    if value.shape != target.shape:
        raise ValueError(f"{what}[{key!r}]: got shape {value.shape}, {expected}")
    if value.dtype != target.dtype:
        raise TypeError(
            f"{what}[{key!r}]: got dtype {value.dtype}, {expected}; pass value.astype(np.{target.dtype})"
        )
    return value


def in_order(owner: str, arrays: Sequence[Array], names: Sequence[str]) -> dict[str, Array]:
    """Return name -> array for arrays in the order of the names; a ValueError where they are more or fewer."""
    if len(arrays) != len(names):
        raise ValueError(f"{owner}: got {len(arrays)} arrays, expected {len(names)}: {', '.join(names)}")
    return dict(zip(names, arrays, strict=True))
