"""Configured objects, such as layers and losses: a configuration that rebuilds them, a repr, the ops they run on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from relu_layers import _core
from relu_layers import ops as native_ops
from relu_layers._support.arguments import named_arguments, own_arguments
from relu_layers._support.arrays import Array as Array
from relu_layers._support.attributes import refuse_fixed, refuse_unknown, settable

_SPELLED = frozenset({"__init__", "fit", "evaluate"})

# An ops namespace is any object with the functions of `relu_layers.ops`: that module, `ops.reference`, a
# recorder.
Ops: TypeAlias = Any
_Method = TypeVar("_Method", bound=Callable[..., Any])


class _DefaultOps:
    """The class attribute ``ops``: the package's native ops, kept by the instance at the first use.

    A non-data descriptor: an instance attribute of the same name wins, so the second access costs nothing
    extra.
    """

    def __get__(self, instance: object | None, owner: type) -> Ops:
        if instance is None:
            return self
        instance.__dict__["ops"] = native_ops
        return native_ops


class Watched(_core.Watched):
    """Base of what a captured step depends on: a public attribute that is set or deleted makes captures look again."""

    # Private attributes that are part of the configuration all the same.
    _configuration: ClassVar[tuple[str, ...]] = ()
    # Public attributes that are none: what was captured reads them whenever it needs them.
    # For each, the private attribute that a positive float goes to without the setter, or "".
    _live: ClassVar[dict[str, str]] = {}

    # Attributes that hold together with others once the object is made, and what to write instead of replacing them.
    _FIXED: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **settings: Any) -> None:
        """Let constructors and the methods that people call first say what an unknown argument is called here."""
        super().__init_subclass__(**settings)
        if "_live" not in cls.__dict__ and not cls._live.keys().isdisjoint(cls.__dict__):
            cls._live = dict.fromkeys(cls._live, "")  # a setter of its own
        if _is_ours(cls):
            for name in _SPELLED & cls.__dict__.keys():
                setattr(cls, name, named_arguments(cls.__dict__[name]))

    def _check_attribute(self, name: str, value: object) -> None:
        """Raise an AttributeError where a public attribute that is about to be set would be read by nothing."""
        kind: Any = type(self)
        if name not in settable(kind):
            refuse_fixed(self, name, value, self._FIXED)
            refuse_unknown(self, name)

    def configuration(self) -> dict[str, Any]:
        """Return what a captured step depends on, by name: equal if it holds the very same objects."""
        own = self._configuration
        return {name: value for name, value in self.__dict__.items() if name[0] != "_" or name in own}


def shortcut(method: _Method) -> _Method:
    """Return a method that first asks what `_core.set_shortcut` gave its object, and runs if that returns None."""
    quick: Any = functools.update_wrapper(_core.Shortcut(method), method)
    return cast(_Method, quick)


class _Setting:
    """An argument of a constructor as an attribute: what is assigned later is checked as the constructor checks it.

    A data descriptor without ``__get__``: reading costs what a plain attribute costs.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __set__(self, instance: Any, value: Any) -> None:
        own = instance.__dict__
        if self._name in own:
            # That of the package: a subclass elsewhere may have a constructor with other arguments.
            kind = next(base for base in type(instance).__mro__ if _is_ours(base))
            names = _arguments_of_ours(kind)
            if self._name in names and all(
                hasattr(instance, name) for name in names
            ):  # else it is being made
                given = {name: getattr(instance, name) for name in names} | {self._name: value}
                value = getattr(kind(**given), self._name)
        own[self._name] = value


def _is_ours(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "relu_layers"


class Configured(Watched):
    """Base of layers and losses: attributes named like the constructor's arguments describe the object.

    Each may be assigned later; a value that the constructor refuses is refused then too.
    """

    ops: Ops = _DefaultOps()

    def __init_subclass__(cls, **settings: Any) -> None:
        """Check what is assigned to a setting later."""
        if "__init__" in cls.__dict__ and _is_ours(cls):
            for name in own_arguments(cls.__dict__["__init__"]):
                if not hasattr(type(getattr(cls, name, None)), "__set__"):
                    setattr(cls, name, _Setting(name))
        super().__init_subclass__(**settings)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, JSON-able; ``type(self)(**config)`` rebuilds the object."""
        return {name: getattr(self, name) for name in _arguments(type(self))}

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles look their ops up again: a module can be neither copied nor pickled.
        return {name: value for name, value in self.__dict__.items() if name != "ops"}

    def __repr__(self) -> str:
        """Return the constructor call, without the arguments that have their default values."""
        config = self.config()
        parts = []
        keyword = False
        for name, parameter in _arguments(type(self)).items():
            value = config[name]
            keyword = keyword or parameter.kind is inspect.Parameter.KEYWORD_ONLY
            if parameter.default is not inspect.Parameter.empty and value == parameter.default:
                # What follows a gap can only be given by name.
                keyword = True
                continue
            parts.append(f"{name}={value!r}" if keyword else f"{value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


@functools.cache
def _arguments_of_ours(cls: Any) -> Collection[str]:
    """Return the names of the arguments of a class of the package, of which there are few."""
    return _arguments(cls).keys()


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments of the constructor of ``cls``, without ``self``."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(cls).parameters
    return {name: parameter for name, parameter in parameters.items() if parameter.kind in named}
