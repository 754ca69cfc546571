"""A trainer's team: what it does with other ranks where a trainer alone steps, runs epochs and evaluates."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from relu_layers._support.arguments import strict_array
from relu_layers._support.configured import Array
from relu_layers._support.targets import Target
from relu_layers._training.agreement import agree, facts_of_objects, facts_of_rows, parameters_agree
from relu_layers._training.captures import Captured, StepCaptures, StepParts
from relu_layers._training.communicator import Communicator
from relu_layers._training.examples import Examples
from relu_layers._training.meter import BatchMeasure, StepResult
from relu_layers._training.ordered_sum import part_starts, shared_bytes
from relu_layers._training.ranks import Place, Ranks
from relu_layers._training.shared_loop import SharedLoop
from relu_layers._training.shared_steps import SharedSteps
from relu_layers.callbacks import Moments
from relu_layers.data import Ordered
from relu_layers.layers import Dropout
from relu_layers.losses import as_loss


class Team:
    """The ranks that train one model with a trainer: all results are those of one process, to the last bit.

    As a context manager it takes an error of this rank to the others. As the last callback of a fit it lets the ranks
    meet: one that stops stops all, and all have the same parameters.

    Parameters
    ----------
    communicator : Communicator
        Of more than one rank.
    trainer : Trainer
    parts : StepParts
        Of the trainer.
    captures : StepCaptures
    backpropagate : callable
        ``backpropagate(x, y, sample_weight, place=...)`` fills the model's gradients in the layers.
    apply : callable
        ``apply(count, None, None, place)`` clips and updates from the sum of ``count`` gradients.
    """

    every_rank = True

    def __init__(
        self,
        communicator: Communicator,
        trainer: Any,
        parts: StepParts,
        captures: StepCaptures,
        backpropagate: Callable[..., StepResult],
        apply: Callable[..., None],
    ) -> None:
        self._trainer, self._progress, self._captures = trainer, parts.progress, captures
        self._backpropagate, self._apply = backpropagate, apply
        model = trainer.model
        # What the last minibatch of `step` was replayed by.
        self._captured: Captured | None = None
        self._ranks = Ranks(communicator, shared_bytes(communicator.size, model.flat_grads))
        counters = [layer.shared_counter for layer in model.layers if isinstance(layer, Dropout)]
        self._steps = SharedSteps(
            self._ranks, model.exclusive(), model.flat_grads, parts.progress, counters, parts.group_sum
        )

    def __enter__(self) -> None:
        self._ranks.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ranks.__exit__(kind, error, trace)

    def step(self, x: Array, y: Target, sample_weight: Array | None, moments: Moments) -> float:
        """Do what `Trainer.step` says with a minibatch of every rank."""
        trainer, ranks = self._trainer, self._ranks
        with ranks, trainer.model.exclusive():
            if type(x) is not np.ndarray or x.dtype != trainer.model.dtype:
                x = strict_array("Trainer.step", "x", x, trainer.model.dtype)
            batch: tuple[Any, ...] = (x, y) if sample_weight is None else (x, y, sample_weight)
            before, summed = trainer.steps, int(self._progress[1])
            left = trainer.group_size - summed - ranks.size
            if left < 0:
                raise ValueError(
                    f"Trainer.step: {summed} of the {trainer.group_size} minibatches of an update are summed, which "
                    f"leaves fewer than one for each of {ranks.size} ranks: fit can complete the group"
                )
            results = self._steps.run(
                ranks.size,
                lambda _: self._replayed(batch) or self._compute(batch, None),
                None if left else self._update,
                [partial(ready, trainer) for ready in moments.on_gradients_ready],
            )
            for step, result in enumerate(results, before + 1):
                for end in moments.on_step_end:
                    end(trainer, step, result.loss)
            ranks.end_if_asked()
        return results[ranks.rank].loss

    def agree(self, settings: dict[str, Any], given: Examples, held_out: Examples | None) -> None:
        """Raise a RankError on every rank unless all are about to run the same fit."""
        facts = [(name, "a function" if callable(value) else repr(value)) for name, value in settings.items()]
        agree(self._ranks, [*facts, *facts_of_objects(self._trainer), *facts_of_rows(given, held_out)])

    def loop(self, batches: Ordered, moments: Moments, epochs: int) -> SharedLoop:
        """Return what runs the epochs of a fit."""
        return SharedLoop(
            self._trainer,
            batches,
            moments,
            self._captures,
            self._ranks,
            self._steps,
            self._compute,
            lambda count, place: self._apply(count, None, None, place),
            progress=self._progress,
            group=self._trainer.group_size,
            epochs=epochs,
        )

    def evaluate(self, given: Examples) -> dict[str, float]:
        """Return what `Trainer.evaluate` does for validation rows, of which each rank takes its share."""
        trainer, ranks = self._trainer, self._ranks
        loss = as_loss(trainer.loss, trainer.model.ops)
        starts = part_starts(len(given.x), ranks.size)
        own = slice(starts[ranks.rank], starts[ranks.rank + 1])
        outputs, y, weight = trainer._outputs(given.x[own]), given.y, given.sample_weight
        if given.streamed:
            y, weight = y[own], None if weight is None else weight[own]
        by_row = len(outputs) == own.stop - own.start
        by_row = all(row[0] for row in ranks.meet(Place.VALIDATION, by_row))
        outputs = ranks.gather_rows(outputs, starts) if by_row else trainer._outputs(given.x)
        if given.streamed:
            y = ranks.gather_rows(y, starts)
            weight = None if weight is None else ranks.gather_rows(weight, starts)
        return loss.measure(outputs, y, weight, 1)

    def on_fit_begin(self, trainer: Any) -> None:
        """Meet the other ranks after their callbacks."""
        rows = parameters_agree(self._ranks, Place.EPOCH, trainer.model.flat_params, trainer._stopping)
        if any(row[0] for row in rows):
            trainer.stop()
        self._ranks.end_if_asked()

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Meet the other ranks after their callbacks."""
        self.on_fit_begin(trainer)

    def on_fit_end(self, trainer: Any, history: Any) -> None:
        """Meet the other ranks after their callbacks."""
        self.on_fit_begin(trainer)

    def _replayed(self, batch: tuple[Any, ...]) -> BatchMeasure | None:
        """Fill the gradients from one minibatch of `step` by a replay, if there is one; return its loss."""
        captures = self._captures
        x, y, *rest = batch
        weight = rest[0] if rest else None
        captures.refresh()
        captured = self._captured = captures.capture_again(x, y, weight)
        if captured is None:
            return None
        found = captures.gradient(captured.capture, x, y, weight, None, 0, len(x))
        return None if found is None else BatchMeasure(found[0], 0.0, 0.0, 0.0, 0.0, 0.0)

    def _update(self, count: int) -> None:
        """Update from the sum of ``count`` gradients: by a replay where the last gradient of this rank was one."""
        captures, captured = self._captures, self._captured
        captures.refresh()
        if captured is None or not captures.update(captured.capture, count):
            self._apply(count, None, None, None)

    def _compute(self, batch: tuple[Array, ...], place: tuple[int, int] | None) -> BatchMeasure:
        """Fill the gradients from one minibatch in the layers."""
        guard = self._trainer.model.exclusive()
        guard.begin_step()
        try:
            x, y, *weight = batch
            result = self._backpropagate(x, y, *weight, place=place)
        finally:
            guard.end_step()
        return self._captures.meter.measure(result, *batch[1:])
