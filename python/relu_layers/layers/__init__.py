"""Layers: one idea per file; `BUILT_IN` is the list that files are rebuilt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relu_layers.layers import built_in

if TYPE_CHECKING:
    from relu_layers.layers.base import Layer, LayerLike, Parameter, ParameterLayer
    from relu_layers.layers.built_in import *

    BUILT_IN: dict[str, type[Layer]]

__all__ = ["BUILT_IN", "Layer", "LayerLike", "Parameter", "ParameterLayer"]
__all__ += built_in.__all__

if not TYPE_CHECKING:  # for type checkers there are no other names

    def __getattr__(name: str) -> Any:
        """Import a layer when it is first asked for, and all of them for the list."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: Any
        if name == "BUILT_IN":
            value = {kind: getattr(built_in, kind) for kind in built_in.__all__}
        elif name in built_in.__all__:
            value = getattr(built_in, name)
        else:
            from relu_layers.layers import base

            value = getattr(base, name)
        # Another thread may have been here meanwhile: all get the same list.
        return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
