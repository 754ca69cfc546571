"""The parts of a trainer that are assigned after it is made: each takes effect, or is refused with the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from relu_layers._support.attributes import refuse_fixed, refuse_unknown
from relu_layers.callbacks import Moments, as_callbacks
from relu_layers.losses import Loss, training_depth


class Parts:
    """Base of a trainer: its callbacks and its loss may be replaced, its model may not."""

    _FIXED: ClassVar[Mapping[str, str]] = {
        "model": "captured steps, buffers and the optimizer belong to it; make a new Trainer",
        "communicator": "make a new Trainer, or Trainer.restore(path, communicator=...)",
    }

    @property
    def callbacks(self) -> tuple[Any, ...]:
        """Those of every `fit` and `step`; None, one callback or several may be assigned."""
        found: tuple[Any, ...] = self.__dict__["callbacks"]
        return found

    @callbacks.setter
    def callbacks(self, value: Any) -> None:
        self.__dict__["callbacks"] = as_callbacks("Trainer", value)
        if "_captures" in self.__dict__:
            trainer: Any = self
            trainer._watch(Moments(self.callbacks, trainer._rank))

    @property
    def loss(self) -> Any:
        """What is minimised; one that ends the network elsewhere is refused."""
        return self.__dict__["loss"]

    @loss.setter
    def loss(self, value: Any) -> None:
        trainer: Any = self
        if "loss" in self.__dict__ and training_depth(trainer.model.layers, value) != trainer._depth:
            raise ValueError(
                f"Trainer: {value!r} wants other outputs of the model than {trainer.loss!r}; make a new Trainer"
            )
        self.__dict__["loss"] = value
        if isinstance(value, Loss):  # a callable may stand for anything
            trainer.model.predicts = "numbers" if value.metric_name is None else "classes"

    def _check_attribute(self, name: str, value: object) -> None:
        """Raise an AttributeError where setting the attribute would be of no effect."""
        refuse_fixed(self, name, value, self._FIXED)
        refuse_unknown(self, name)
