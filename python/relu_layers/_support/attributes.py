"""Attributes that are assigned: what nothing would read is an AttributeError with the way to do it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import get_annotations, signature
from typing import Any, ClassVar

from relu_layers._support.spelling import suggestion


class Fixed:
    """Base of an object some of whose attributes hold together once it is made.

    `_FIXED` says, by name, what to write instead. They may be set while ``_made`` is False.
    """

    _FIXED: ClassVar[Mapping[str, str]] = {}
    _made: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        if self._made and name[0] != "_":
            refuse_fixed(self, name, value, self._FIXED)
            refuse_unknown(self, name)
        super().__setattr__(name, value)


def refuse_fixed(owner: object, name: str, value: object, fixed: Mapping[str, str]) -> None:
    """Raise an AttributeError if the attribute is one that cannot be replaced by another object."""
    way = fixed.get(name)
    if way is not None and name in owner.__dict__ and owner.__dict__[name] is not value:
        raise AttributeError(f"{type(owner).__name__}: {name} cannot be replaced: {way}")


def refuse_unknown(owner: Any, name: str) -> None:
    """Raise an AttributeError if a class of this package has no such attribute; a user's own class may have any."""
    kind: Any = type(owner)
    if name in owner.__dict__ or kind.__module__.split(".")[0] != "relu_layers":
        return
    known = getattr(kind, name, None)
    if isinstance(known, property) and known.fset is None:
        way = f"; write {name}[key] = array" if name in ("params", "grads") else ""
        raise AttributeError(f"{kind.__name__}: {name} can be read, not replaced{way}")
    if known is not None or name in _names(kind) or hasattr(kind, name):
        return
    if name in getattr(owner, "params", ()):
        raise AttributeError(
            f"{kind.__name__} has no attribute {name!r}: write layer.params[{name!r}] = array"
        )
    raise AttributeError(
        f"{kind.__name__} has no attribute {name!r}{suggestion(name, sorted(_public(kind)))}"
    )


@cache
def _names(kind: type) -> frozenset[str]:
    """Return what instances of a class may have: the constructor's arguments and what the class annotates."""
    names = {name for base in kind.__mro__ for name in get_annotations(base)}
    made = (base.__dict__["__init__"] for base in kind.__mro__[:-1] if "__init__" in base.__dict__)
    for constructor in made:
        names |= signature(constructor).parameters.keys()
    return frozenset(names - {"self"})


def _public(kind: type) -> set[str]:
    return {name for name in (*_names(kind), *dir(kind)) if name[0] != "_"}
