"""Trainer: a model, a loss and an optimizer that train together. The step itself is in `_steps`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Self

import numpy as np

from relu_layers import checkpoint
from relu_layers._steps import Stepper
from relu_layers._streaming import is_source
from relu_layers._support.arguments import boolean, integer
from relu_layers._support.configured import Array
from relu_layers._training import fit as _fit
from relu_layers._training.divergence import DivergenceError
from relu_layers._training.meter import whole_loss
from relu_layers.callbacks import check_callback
from relu_layers.history import History
from relu_layers.losses import Loss
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer

__all__ = ["DivergenceError", "Trainer"]

# Rows that pass through the model at once when it is only evaluated: the results do not depend on it.
_EVALUATED_AT_ONCE = 1024


class Trainer(Stepper):
    """Trains a model.

    Parameters
    ----------
    model : Sequential
    loss : loss or callable
        One of `relu_layers.losses`, or ``loss(y, target) -> (value, dy)`` (with ``sample_weight=`` if weights
        are to be used).
    optimizer : Optimizer
        Serves this model from now on.
    clip_norm : float or None, keyword
        Largest norm of the gradient over all parameters that are not frozen.
    accumulate : int, keyword
        Minibatches per update.
    l2_penalty : float, keyword
        ``l2_penalty / 2 * sum(weight**2) / rows`` over the weights of all Dense layers, biases left out, is added to
        the objective of each minibatch, as scikit-learn's ``alpha``; with sample weights their sum takes the place
        of ``rows``. Its gradient is clipped with the rest. Losses are told without it; the history has it in
        a column ``penalty``.
    callbacks : sequence, keyword
        See `relu_layers.callbacks`; those of `fit` come after them.
    rng : np.random.Generator, int or None, keyword
        Shuffles; None is the model's own generator.
    capture : bool, keyword
        Whether repeated steps are recorded and replayed without Python, to the same bits. False runs every step
        in the Python layers, for debugging.

    Attributes
    ----------
    history : History
        All epochs of all calls of `fit`, also of those before a restored checkpoint.
    steps : int
        Minibatches so far.
    recorded : tuple of str
        Names of the columns that the running `fit` records.
    """

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int,
        batch_size: int,
        validation: Any = None,
        shuffle: bool | Callable[[int], Any] = True,
        progress: Any = None,
        callbacks: Sequence[Any] = (),
        sample_weight: Any = None,
    ) -> History:
        """Train for ``epochs`` more epochs and return the history of all epochs so far.

        Parameters
        ----------
        x, y, sample_weight : array_like
            All rows. x, float targets and weights are converted to the model's dtype once where it differs. Or
            x is a `relu_layers.data.Source`, such as `relu_layers.sources.open_source` returns, and nothing else
            is given: then rows are read as they are needed, and the results are the same to the last bit.
        epochs, batch_size : int
            The last minibatch of an epoch may be smaller; it also completes a group of ``accumulate``
            minibatches, divided by the number it has.
        validation : (x, y), (x, y, sample_weight) or Source, optional
            Evaluated after every epoch.
        shuffle : bool or callable
            Whether each epoch draws a new order; otherwise minibatches are views of x and y. A callable
            ``shuffle(rows)`` returns the order of an epoch, a permutation of ``range(rows)``.
        progress : None, bool, callable or callback
            True writes a line to stderr; None and False nothing; anything else is one more callback.
        callbacks : sequence
            For this call only; a checkpoint holds those of the constructor.

        Raises
        ------
        DivergenceError
            A loss is not finite.
        KeyboardInterrupt
            On Ctrl-C, after the step that was running; the history has the whole epochs before.

        Notes
        -----
        A wrong label or shape is found before the first step and changes nothing. After any exception model
        and optimizer are as after the last whole step, and training can go on.
        """
        epochs = integer("Trainer.fit", "epochs", epochs, minimum=0)
        batch_size = integer("Trainer.fit", "batch_size", batch_size, minimum=1)
        if not callable(shuffle):
            shuffle = boolean("Trainer.fit", "shuffle", shuffle)
        if progress is not None and not isinstance(progress, bool):
            check_callback(progress)
        given = _fit.given_rows("Trainer.fit", self, x, y, sample_weight)
        held_out = None
        if validation is not None:
            if is_source(validation):
                validation = (validation, None)
            if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
                raise TypeError(
                    "Trainer.fit: validation must be a tuple (x, y) or (x, y, sample_weight), or a source"
                )
            held_out = _fit.given_rows("Trainer.fit: validation", self, *validation)
        with self.model.exclusive():
            for name, part in (("Trainer.fit", given), ("Trainer.fit: validation", held_out)):
                if part is not None:
                    _fit.check_before_training(name, self, part)
            return _fit.run(
                self,
                given,
                epochs=epochs,
                batch_size=batch_size,
                validation=held_out,
                shuffle=shuffle,
                progress=progress,
                callbacks=callbacks,
            )

    def stop(self) -> None:
        """End the running `fit` after this epoch."""
        self._stopping = True

    def evaluate(
        self, x: Any, y: Any = None, sample_weight: Any = None, *, top_k: int = 1
    ) -> dict[str, float]:
        """Return ``{"loss": ..., "accuracy": ...}`` over all rows, in inference (no dropout).

        x may be a source, see `fit`: outputs and targets of all its rows are in memory, its inputs are not.
        x, float targets and weights are converted to the model's dtype where it differs. The loss is that of
        all rows at once, with its own normalization; a loss without accuracy leaves that key out. With
        ``top_k`` a label counts as right among the ``top_k`` largest logits.
        """
        top_k = integer("Trainer.evaluate", "top_k", top_k, minimum=1)
        return self._evaluate(_fit.given_rows("Trainer.evaluate", self, x, y, sample_weight), top_k)

    def _evaluate(self, given: _fit.Examples, top_k: int = 1) -> dict[str, float]:
        if isinstance(self.loss, Loss):
            self.loss.use(self.model.ops)
        weight = given.sample_weight
        return whole_loss(
            self.loss, self._outputs(given.x), given.y[:], None if weight is None else weight[:], top_k
        )

    def _outputs(self, x: Any) -> Array:
        """Return what the loss looks at for all rows: a new array."""
        guard = self.model._guard
        guard.begin_inference()
        try:
            first = self._inference.infer(x[:_EVALUATED_AT_ONCE], None)
            if len(x) <= _EVALUATED_AT_ONCE:
                return first
            if len(first) != _EVALUATED_AT_ONCE:
                return self._inference.infer(x[:], None)
            outputs = np.empty((len(x), *first.shape[1:]), dtype=first.dtype)
            outputs[: len(first)] = first
            for start in range(_EVALUATED_AT_ONCE, len(x), _EVALUATED_AT_ONCE):
                part = slice(start, start + _EVALUATED_AT_ONCE)
                self._inference.infer(x[part], outputs[part])
            return outputs
        finally:
            guard.end_inference()

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Write everything that a training needs to go on bit for bit; the suffix decides the format.

        Between two calls of `fit` or `step`, or at the end of an epoch from a callback. From within an epoch
        all is kept but the epoch's place: training would go on with a new epoch.
        """
        checkpoint.save_trainer(self, path)

    @classmethod
    def restore(
        cls,
        path: str | PathLike[str],
        *,
        model: Sequential | None = None,
        loss: Any = None,
        optimizer: Optimizer | None = None,
        callbacks: Sequence[Any] = (),
    ) -> Self:
        """Return the trainer that `save_checkpoint` wrote; what is passed takes the place of what is rebuilt.

        A user's own layer, loss, schedule (in its optimizer) or callback cannot be rebuilt: pass it, freshly
        made, and it gets the state from the file. Otherwise it is a ValueError that names it.
        """
        trainer: Self = checkpoint.restore_trainer(
            cls, path, model=model, loss=loss, optimizer=optimizer, callbacks=callbacks
        )
        return trainer

    def __repr__(self) -> str:
        return (
            f"<Trainer of {self.model!r} with {self.loss!r} and {self.optimizer!r}: "
            f"{self.steps} steps, {self.optimizer.updates} updates, {self.history.epochs} epochs>"
        )
