"""The ops: functions on NumPy arrays. `reference` holds the same functions in plain NumPy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relu_layers.ops import native as native
    from relu_layers.ops import reference as reference
    from relu_layers.ops.native import *

# Whether the dense ops take a `negative_slope`: a model whose ops have this attribute lets them do the work of the
# ReLU beside a Dense layer. A namespace that wants to see every layer's own op leaves it out.
FUSES_RELU = True

if not TYPE_CHECKING:  # for type checkers there are no other names

    def __getattr__(name: str) -> Any:
        """Fill the module when an op is first asked for: the docstrings, which come with them, are in the reference."""
        if name in ("native", "reference"):
            return import_module(f"relu_layers.ops.{name}")
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        own, native = globals(), import_module("relu_layers.ops.native")
        for op in native.__all__:  # but for what was put in their place
            own.setdefault(op, getattr(native, op))
        own.setdefault("__all__", ["FUSES_RELU", "reference", *native.__all__])
        if name not in own:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return own[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
