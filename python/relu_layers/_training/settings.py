"""Settings of a trainer that are checked whenever they are assigned: its optimizer and the norm it clips to."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from relu_layers._support.arguments import real
from relu_layers._support.configured import Array
from relu_layers.optimizers import Optimizer


class Settings:
    """Base of a trainer: what it updates with may be exchanged between two steps."""

    # Captured steps read it whenever they need it.
    _live: ClassVar[frozenset[str]] = frozenset({"clip_norm"})

    @property
    def model(self) -> Any:
        """What is trained: one and the same for the life of a trainer."""
        return self.__dict__["_model"]

    @model.setter
    def model(self, value: Any) -> None:
        if "_model" in self.__dict__:
            raise AttributeError(
                "Trainer: model cannot be assigned, since loss, optimizer and captures belong to it; make a new Trainer"
            )
        trainer: Any = self
        trainer._model = value

    @property
    def optimizer(self) -> Optimizer:
        """What updates the model; one that is assigned is bound to the model, or refused as by the constructor."""
        optimizer: Optimizer = self.__dict__["_optimizer"]
        return optimizer

    @optimizer.setter
    def optimizer(self, value: Optimizer) -> None:
        if not isinstance(value, Optimizer):
            raise TypeError(f"Trainer: optimizer is {value!r}, expected one such as SGD(0.1)")
        trainer: Any = self
        value.bind(trainer.model)
        trainer._optimizer = value

    @property
    def clip_norm(self) -> float | None:
        """Largest norm of the gradient over all parameters that are not frozen; None for no limit."""
        return float(self.shared_limit[0]) or None

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        number = 0.0 if value is None else real("Trainer", "clip_norm", value)
        if value is not None and number <= 0.0:
            raise ValueError(f"Trainer: clip_norm is {number}, expected above 0, or None")
        self.shared_limit[0] = number

    @property
    def shared_limit(self) -> Array:
        """The limit, float64 (1,), 0 for none, in the memory that captured steps read."""
        limit: Array = self.__dict__.setdefault("_limit", np.zeros(1))
        return limit
