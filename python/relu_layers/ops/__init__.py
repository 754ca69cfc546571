"""The ops: functions on NumPy arrays."""

from __future__ import annotations

from relu_layers.ops import reference

__all__ = ["reference"]
