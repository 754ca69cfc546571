"""The ops: functions on NumPy arrays. `reference` holds the same functions in plain NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relu_layers.ops import native, reference
from relu_layers.ops.native import *

# Whether the dense ops take a `negative_slope`: a model whose ops have this attribute lets them do the work of the
# ReLU beside a Dense layer. A namespace that wants to see every layer's own op leaves it out.
FUSES_RELU = True

if not TYPE_CHECKING:  # type checkers follow the star
    __all__ = ["FUSES_RELU", "reference", *native.__all__]
