"""Tables to arrays a network learns from: standardised numbers, categories, labels, missing values."""

from __future__ import annotations

from relu_layers.preprocessing.columns import CategoryColumn, NumberColumn
from relu_layers.preprocessing.pipeline import Preprocessing
from relu_layers.preprocessing.targets import ClassTarget, NumberTarget, find_task

__all__ = ["CategoryColumn", "ClassTarget", "NumberColumn", "NumberTarget", "Preprocessing", "find_task"]
