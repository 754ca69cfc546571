"""Layers: one idea per file; `BUILT_IN` is the list that files are rebuilt from."""

from __future__ import annotations

from relu_layers.layers import built_in
from relu_layers.layers.base import Layer, LayerLike, Parameter, ParameterLayer
from relu_layers.layers.built_in import *

BUILT_IN: dict[str, type[Layer]] = {name: getattr(built_in, name) for name in built_in.__all__}

__all__ = ["BUILT_IN", "Layer", "LayerLike", "Parameter", "ParameterLayer"]
__all__ += built_in.__all__
