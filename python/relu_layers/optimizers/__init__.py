"""Optimizers; `BUILT_IN` is the list that files are rebuilt from. The arithmetic is in ``ops.*_update``."""

from __future__ import annotations

from relu_layers.optimizers.base import Optimizer
from relu_layers.optimizers.rules import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp

__all__ = ["SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Optimizer", "RMSProp"]

BUILT_IN: dict[str, type[Optimizer]] = {
    optimizer.__name__: optimizer for optimizer in (SGD, AdaGrad, RMSProp, AdaDelta, Adam, AdamW)
}
