"""What of a trainer is assigned after it is made: each setting takes effect, or is refused with the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from relu_layers._support.arguments import boolean, integer, real
from relu_layers._support.attributes import assigned, refuse_fixed, refuse_unknown
from relu_layers._support.configured import Array
from relu_layers._support.spelling import check_loss
from relu_layers.callbacks import Moments, as_callbacks
from relu_layers.history import History
from relu_layers.losses import Loss, training_depth
from relu_layers.optimizers import Optimizer


class Settings:
    """Base of a trainer: loss, optimizer and callbacks may be exchanged between two steps, the model may not."""

    history: History
    # The limit of the norm, float64 (1,), 0 for none: captured steps read it.
    _limit: Array
    _FIXED: ClassVar[Mapping[str, str]] = {
        "model": "captured steps, buffers and the optimizer belong to it; make a new Trainer",
        "communicator": "make a new Trainer, or Trainer.restore(path, communicator=...)",
    }

    # Captured steps read it whenever they need it.
    _live: ClassVar[dict[str, str]] = {"clip_norm": ""}

    @assigned
    def optimizer(self, value: Optimizer) -> Optimizer:
        """What updates the model; one that is assigned is bound to the model, or refused as by the constructor."""
        if not isinstance(value, Optimizer):
            raise TypeError(f"Trainer: optimizer is {value!r}, expected one such as SGD(0.1)")
        trainer: Any = self
        value.bind(trainer.model)
        return value

    @property
    def clip_norm(self) -> float | None:
        """Largest norm of the gradient over all parameters that are not frozen; None for no limit."""
        return float(self._limit[0]) or None

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        number = 0.0 if value is None else real("Trainer", "clip_norm", value)
        if value is not None and number <= 0.0:
            raise ValueError(f"Trainer: clip_norm is {number}, expected above 0, or None")
        self._limit[0] = number

    @assigned
    def accumulate(self, value: int) -> int:
        """Minibatches of one update; one that is assigned is that of the group under way too."""
        return integer("Trainer", "accumulate", value, minimum=1)

    @assigned
    def l2_penalty(self, value: float) -> float:
        """Strength of the penalty on the weights of dense layers."""
        return real("Trainer", "l2_penalty", value, minimum=0.0)

    @assigned
    def capture(self, value: bool) -> bool:
        """Whether steps that come again are captured."""
        return boolean("Trainer", "capture", value)

    @assigned
    def rng(self, value: np.random.Generator | int | None) -> np.random.Generator:
        """What `fit` shuffles with; the seed of one may be assigned, or None for that of the model."""
        trainer: Any = self
        return trainer.model.rng if value is None else np.random.default_rng(value)

    @assigned
    def callbacks(self, value: Any) -> Any:  # a tuple, but more may be assigned
        """Those of every `fit` and `step`; None, one callback or several may be assigned."""
        callbacks = as_callbacks("Trainer", value)
        if "_captures" in self.__dict__:
            trainer: Any = self
            trainer._watch(Moments.of(callbacks, trainer._rank))
        return callbacks

    @assigned
    def loss(self, value: Any) -> Any:
        """What is minimised; one that ends the network elsewhere is refused."""
        trainer: Any = self
        check_loss("Trainer", value)
        if "loss" in self.__dict__ and training_depth(trainer.model.layers, value) != trainer._depth:
            raise ValueError(
                f"Trainer: {value!r} wants other outputs of the model than {trainer.loss!r}; make a new Trainer"
            )
        if isinstance(value, Loss):  # a callable may stand for anything
            trainer.model.predicts = "numbers" if value.metric_name is None else "classes"
        return value

    def _check_attribute(self, name: str, value: object) -> None:
        """Raise an AttributeError where setting the attribute would be of no effect."""
        refuse_fixed(self, name, value, self._FIXED)
        refuse_unknown(self, name)
