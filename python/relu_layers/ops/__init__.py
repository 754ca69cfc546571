"""The ops: functions on NumPy arrays. `reference` holds the same functions in plain NumPy."""

from __future__ import annotations

from relu_layers.ops import native, reference
from relu_layers.ops.native import *  # noqa: F403

# Whether the dense ops take a `negative_slope`: a model whose ops have this attribute lets them do the work of the
# ReLU beside a Dense layer. A namespace that wants to see every layer's own op leaves it out.
FUSES_RELU = True

__all__ = ["FUSES_RELU", "reference"]
__all__ += native.__all__
