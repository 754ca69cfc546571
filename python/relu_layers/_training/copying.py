"""Copies of a trainer, pickled ones included: what is state goes along, what is made from it is made again."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from relu_layers._support.usage import mixed, still


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
        # Not copied here, so that what else is in the pickle (the model, say) stays one object with what this holds.
        trainer: Any = self
        with still(trainer.model, "pickling"):
            return {**self._state(), "_unchanged": _Unchanged(trainer)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        trainer: Any = self
        trainer.__dict__.update({name: value for name, value in state.items() if name != "_unchanged"})
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


class _Unchanged:
    """Last in a trainer's pickle: refuses one whose parts were written before and after a step of another thread."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._then = self._now()

    def _now(self) -> tuple[int, int]:
        return self._trainer.steps, len(self._trainer.history)

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        with still(self._trainer.model, "pickling"):
            if self._now() != self._then:
                raise RuntimeError(mixed("trained", "pickling"))
        return bool, ()
