"""Attributes that are assigned: what nothing would read is an AttributeError with the way to do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import get_annotations, signature
from typing import Any, ClassVar, TypeVar, cast

from relu_layers._support.spelling import suggestion

T = TypeVar("T")


class _Assigned:
    """A data descriptor without ``__get__``: reading what was assigned costs what a plain attribute costs."""

    def __init__(self, taken: Callable[[Any, Any], Any]) -> None:
        self._taken = taken
        self.__doc__ = taken.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = self._taken(instance, value)


def assigned(taken: Callable[[Any, Any], T]) -> T:
    """Return an attribute whose values go through a method: ``taken(self, value)`` returns what is kept, or raises."""
    return cast(T, _Assigned(taken))


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
def settable(kind: Any) -> frozenset[str]:
    """Return the attributes of a class that may be set as they come: a quick answer for most."""
    free = {name for name in _names(kind) if name not in kind._FIXED}
    found = ((name, getattr(kind, name, None)) for name in free)
    return frozenset(name for name, own in found if not isinstance(own, property) or own.fset is not None)


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
