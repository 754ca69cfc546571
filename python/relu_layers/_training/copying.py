"""Copies of a trainer, pickled ones included: what is state goes along, what is made from it is made again."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from relu_layers._support.usage import still


class Copied:
    """Base of a trainer: it copies with its model and its optimizer, and a copy trains alone.

    A subclass names in `_PREPARED` the attributes that its `_prepare` makes from the others.
    """

    _PREPARED: ClassVar[tuple[str, ...]] = ()

    def _state(self) -> dict[str, Any]:
        trainer: Any = self
        state = {name: value for name, value in trainer.__dict__.items() if name not in self._PREPARED}
        # Its updates have the same size.
        return {**state, "communicator": None, "accumulate": trainer.group_size}

    def __getstate__(self) -> dict[str, Any]:
        trainer: Any = self
        # A pickler writes what it gets here later, when another thread may train: so it gets copies, made at once.
        with still(trainer.model, "pickling"):
            state = copy.deepcopy(self._state())
        state["model"]._unshared = True
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        trainer: Any = self
        trainer.__dict__.update(state)
        trainer.optimizer.bind(trainer.model)
        trainer._prepare()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        trainer: Any = self
        with still(trainer.model, "copying"):
            state = copy.deepcopy(self._state(), memo)
        result.__setstate__(state)
        return result
