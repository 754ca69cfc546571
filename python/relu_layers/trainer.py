"""Trainer: a model, a loss and an optimizer that train together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from relu_layers._support.arguments import boolean, integer, strict_array
from relu_layers._support.arrays import zeros
from relu_layers._support.configured import Array, Watched, shortcut
from relu_layers._support.generators import renew_after_fork
from relu_layers._support.spelling import check_loss
from relu_layers._support.targets import Target
from relu_layers._support.usage import alone, still
from relu_layers._training.captures import StepCaptures, StepParts
from relu_layers._training.communicator import Communicator, check_communicator
from relu_layers._training.copying import Copied
from relu_layers._training.divergence import DivergenceError, divergence
from relu_layers._training.examples import Examples, examples_or_source, held_out_examples
from relu_layers._training.interrupts import Interrupts
from relu_layers._training.loop import Loop
from relu_layers._training.meter import StepResult, recorded_columns
from relu_layers._training.settings import Settings
from relu_layers.callbacks import Moments, TextProgress, as_callbacks, check_callback
from relu_layers.data import Ordered
from relu_layers.history import History
from relu_layers.layers import Dense, Dropout
from relu_layers.losses import as_loss, training_depth
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer

if TYPE_CHECKING:
    from relu_layers._support.files import AnyPath
    from relu_layers._training.team import Team

__all__ = ["DivergenceError", "Trainer"]

# Epoch and batch, for messages.
_Place = tuple[int, int] | None
# Rows that pass through the model at once when it is only evaluated: the results do not depend on it.
_EVALUATED_AT_ONCE = 1024


class Trainer(Copied, Settings, Watched):
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
        Minibatches per update, of each rank where there are several.
    l2_penalty : float, keyword
        ``l2_penalty / 2 * sum(weight**2) / rows`` over the weights of all Dense layers, biases left out, is added to
        the objective of each minibatch, as scikit-learn's ``alpha``; with sample weights ``rows`` is their sum. Its
        gradient is clipped with the rest. Losses are reported without it; the history has it in a column
        ``penalty``.
    callbacks : callback or sequence, keyword
        See `relu_layers.callbacks`; those of `fit` come after them.
    rng : np.random.Generator, int or None, keyword
        Shuffles; None is the model's own generator.
    capture : bool, keyword
        Whether repeated steps are recorded and replayed without Python, to the same bits. False runs every step
        in the Python layers, for debugging.
    communicator : Communicator or None, keyword
        Processes that train this model together, such as `relu_layers.distributed.world` returns. An update then
        takes ``accumulate`` minibatches of each rank, and all results are those of one process with
        ``accumulate`` times the number of ranks, to the last bit. `fit` and `step` are called on all ranks alike.

    Attributes
    ----------
    callbacks : tuple
        May be assigned, as may the loss, the optimizer and the numbers; the model may not.
    history : History
        All epochs of all calls of `fit`, also of those before a restored checkpoint.
    steps : int
        Minibatches so far.
    recorded : tuple of str
        Names of the columns that the running `fit` records.

    Notes
    -----
    The order of a step is Caffe's: the gradients of ``accumulate`` minibatches are summed; callbacks look at the sum;
    its norm is clipped; it is divided by the number of minibatches; decay is added; the optimizer updates.

    Examples
    --------
    >>> import relu_layers as rl
    >>> x, y = rl.data.two_moons(200, rng=0)
    >>> trainer = rl.Trainer(rl.mlp([2, 16, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.02))
    >>> history = trainer.fit(x, y, epochs=40, batch_size=20)
    >>> print("right: {accuracy:.0%}".format(**trainer.evaluate(x, y)))
    right: 100%
    """

    _recorded: tuple[str, ...] = ()
    _PREPARED = (
        *("_moments", "_interrupts", "_penalized", "_dropouts", "_inference", "_stopping", "_captures"),
        *("_rank", "_ranks", "_team"),
    )

    def __init__(
        self,
        model: Sequential,
        loss: Any,
        optimizer: Optimizer,
        *,
        clip_norm: float | None = None,
        accumulate: int = 1,
        l2_penalty: float = 0.0,
        callbacks: Any = (),
        rng: np.random.Generator | int | None = None,
        capture: bool = True,
        communicator: Communicator | None = None,
    ) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"Trainer: model is {model!r}, expected a Sequential")
        check_loss("Trainer", loss)
        self._depth = training_depth(model.layers, loss)
        # In memory that captured steps share: the limit of the norm, then minibatches so far, and those in the
        # group that is not complete yet.
        self._limit, self._progress = np.zeros(1), np.zeros(2, dtype=np.int64)
        self.clip_norm = clip_norm
        self.accumulate, self.l2_penalty, self.capture = accumulate, l2_penalty, capture
        self.callbacks = callbacks
        self.communicator = check_communicator("Trainer", communicator)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.rng = model.rng if rng is None else np.random.default_rng(rng)
        self.history = History()
        # The sum over the minibatches of that group.
        self._sum: Array | None = None
        self._prepare()

    def _prepare(self) -> None:
        """Make what is not part of the state."""
        model, ranks = self.model, self.communicator
        self._rank, self._ranks = (0, 1) if ranks is None else (int(ranks.rank), int(ranks.size))
        renew_after_fork(self)
        self._moments = Moments.of(self.callbacks, self._rank)
        self._interrupts = Interrupts()
        # Weights of dense layers, which the penalty is on: flat views of parameters and gradients.
        self._penalized = [
            (layer.params["weight"].reshape(-1), layer.grads["weight"].reshape(-1))
            for layer in model.layers[: self._depth]
            if isinstance(layer, Dense)
        ]
        self._dropouts = [layer for layer in model.layers if isinstance(layer, Dropout)]
        self._inference = model._passes.first(self._depth)
        self._stopping = False
        # Before the captures look at the loss: it computes with the ops of the model.
        as_loss(self.loss, model.ops)
        shared = self._progress, self._group_sum, self._penalize, self._outputs
        parts = StepParts(model._passes, self._depth, *shared)
        self._captures = StepCaptures(self, parts, self._moments)
        self._team: Team | None = None
        if ranks is not None and self._ranks > 1:
            from relu_layers._training.team import Team  # seven modules that one process does without

            self._team = Team(ranks, self, parts, self._captures, self._backpropagate, self._apply)

    @property
    def steps(self) -> int:
        """Minibatches so far."""
        return int(self._progress[0])

    @property
    def group_size(self) -> int:
        """Minibatches of an update, over all ranks."""
        return self.accumulate * self._ranks

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of the columns that the running `fit` records."""
        return self._recorded

    @shortcut
    def step(self, x: Array, y: Target, sample_weight: Array | None = None) -> float:
        """Train on one minibatch and return its loss before the update.

        Parameters
        ----------
        x : ndarray (batch, features), of the model's dtype
            Not converted: another dtype is a TypeError that prints the conversion (`fit` converts).
        y : ndarray or (ndarray, ndarray)
            What the loss compares with: labels, or an array of the dtype and shape of the outputs. `SquaredError` and
            `Huber` also take ``(columns, values)``, a tuple: of each row of outputs the one of that column counts.
        sample_weight : ndarray (batch,), optional
            Of the model's dtype.

        Raises
        ------
        DivergenceError
            The loss is not finite; parameters and optimizer are as before the step.
        RankError
            Another rank could not take part.

        Notes
        -----
        On several ranks each brings a minibatch of its own, and gets its own loss: together they are as many steps
        of one process, the minibatch of rank 0 first.

        Examples
        --------
        A loop of one's own:

        >>> import numpy as np
        >>> import relu_layers as rl
        >>> x, y = rl.data.two_moons(200, rng=0)
        >>> x = x.astype(np.float32)  # step converts nothing
        >>> trainer = rl.Trainer(rl.mlp([2, 16, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.02))
        >>> for _ in range(100):
        ...     loss = trainer.step(x, y)
        >>> loss < 0.2
        True
        """
        # Comes here where the shortcut has not done it: callbacks and ranks have their part, and layers run what is not
        # captured.
        value = self._captures.step(x, y, sample_weight)
        if value is None:
            if self._team is not None:
                return self._team.step(x, y, sample_weight, self._moments)
            value = self._step_in_layers(x, y, sample_weight)
        for end in self._moments.on_step_end:
            end(self, self.steps, value)
        return value

    def _step_in_layers(self, x: Array, y: Target, sample_weight: Array | None) -> float:
        """Do what `step` says by running the layers, and capture the step if it may come again."""
        if type(x) is not np.ndarray or x.dtype != self.model.dtype:
            x = strict_array("Trainer.step", "x", x, self.model.dtype)
        with self.model._guard, self._interrupts:
            value = self._run_step(x, y, sample_weight).value
            self._captures.consider(x, y, sample_weight)
        return value

    def _run_step(
        self, x: Array, y: Target, weight: Array | None = None, *, close: bool = False, place: _Place = None
    ) -> StepResult:
        """Run one step in the layers: gradients, their sum over the group, and the update that completes it.

        ``close`` ends the group of accumulated minibatches even if it is not complete. What raises leaves parameters,
        optimizer and masks as they were.
        """
        guard = self.model._guard
        guard.begin_step()
        masks = [layer.state_dict() for layer in self._dropouts]
        try:
            result = self._backpropagate(x, y, weight, place=place)
            count = int(self._progress[1]) + 1
            if count < self.accumulate and not close:
                self._add_to_group(count)
            else:
                self._update(count, x, result.outputs, place)
        except BaseException:
            for layer, state in zip(self._dropouts, masks, strict=True):
                layer.load_state_dict(state)
            raise
        finally:
            guard.end_step()
        self._progress[0] += 1
        return result

    def _backpropagate(self, x: Array, y: Target, weight: Any = None, *, place: _Place) -> StepResult:
        """Fill the model's gradients from one minibatch, those of the penalty included."""
        loss, passes = as_loss(self.loss, self.model.ops), self.model._passes

        def check(value: float, outputs: Array) -> None:
            self._check_finite("the loss", value, x, outputs, place, y, weight)

        # The measures of an epoch look at the layers' own buffers; a step of its own needs none.
        halves = self._captures.halves if place is None else None
        found = None if halves is None else halves.loss_and_gradients(loss, x, y, weight, check)
        if found is None:
            frozen = passes.frozen(self.optimizer.frozen(self.model))
            found = passes.loss_and_gradients(
                loss, x, y, weight, depth=self._depth, frozen=frozen, before_backward=check
            )[:2]
        value, outputs = found
        return StepResult(value, outputs, self._penalize(len(outputs), weight) if self.l2_penalty else 0.0)

    def _add_to_group(self, count: int) -> None:
        """Add this minibatch's gradient to those of its group, of which it is the ``count``-th."""
        total, gradients = self._group_sum(), self.model.flat_grads
        if count == 1:
            np.copyto(total, gradients)
        else:
            self.model.ops.accumulate(total, gradients)
        self._progress[1] = count

    def _update(self, count: int, x: Array, outputs: Array, place: _Place) -> None:
        """Update from the gradients of a group of ``count`` minibatches, of which x is the last."""
        model = self.model
        if count > 1:
            # Into the model's own array, so that callbacks find the sum where gradients always are.
            model.ops.accumulate(model.flat_grads, self._sum)
        for ready in self._moments.on_gradients_ready:
            ready(self)
        self._apply(count, x, outputs, place)
        self._progress[1] = 0

    def _apply(self, count: int, x: Array | None, outputs: Array | None, place: _Place) -> None:
        """Clip and update from the sum of ``count`` gradients, the last one from x where this rank had it."""
        optimizer, scale = self.optimizer, 1.0
        if limit := float(self._limit[0]):
            norm = optimizer.gradient_norm()
            self._check_finite("the gradient norm", norm, x, outputs, place)
            if norm > limit:
                scale = limit / norm
        optimizer.update(scale / count)

    def _penalize(self, rows: int, sample_weight: Array | None) -> float:
        """Add the penalty to the gradients and return what it adds to the loss."""
        add, strength = self.model.ops.l2_penalty, self.l2_penalty
        total = 0.0
        for param, grad in self._penalized:
            total += add(param, grad, strength=strength, rows=rows, sample_weight=sample_weight)
        return total

    def _group_sum(self) -> Array:
        """Return the array for the sum of a group's gradients."""
        if self._sum is None:
            self._sum = zeros(self.model.flat_grads.shape, self.model.dtype)
        return self._sum

    def _check_finite(
        self, what: str, value: float, x: Array | None, outputs: Array | None, place: _Place, *targets: Any
    ) -> None:
        """Raise a DivergenceError unless ``value`` is finite."""
        if math.isfinite(value):
            return
        where = f"step {self.steps + 1}" if place is None else f"epoch {place[0]}, batch {place[1]}"
        rate = self.optimizer.learning_rate_now
        raise divergence(self.model, self._depth, (x, *targets), outputs, what, value, where, rate)

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        validation: Any = None,
        shuffle: bool | Callable[[int], Any] = True,
        progress: Any = None,
        callbacks: Any = (),
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
        callbacks : callback or sequence
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

        Examples
        --------
        >>> import relu_layers as rl
        >>> x, y = rl.data.two_moons(300, rng=0)
        >>> trainer = rl.Trainer(rl.mlp([2, 16, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.02))
        >>> held_out = x[200:], y[200:]
        >>> history = trainer.fit(
        ...     x[:200], y[:200], epochs=50, validation=held_out, callbacks=rl.EarlyStopping(patience=10)
        ... )
        >>> print(f"{history['validation_accuracy'][-1]:.0%} of the rows held out")
        100% of the rows held out
        """
        with self._team or nullcontext():
            epochs = integer("Trainer.fit", "epochs", epochs, minimum=0)
            batch_size = integer("Trainer.fit", "batch_size", batch_size, minimum=1)
            if not callable(shuffle):
                shuffle = boolean("Trainer.fit", "shuffle", shuffle)
            if progress is not None and not isinstance(progress, bool):
                check_callback(progress)
            own = as_callbacks("Trainer.fit", callbacks)
            loss = as_loss(self.loss, self.model.ops)
            given = self._examples("Trainer.fit", x, y, sample_weight)
            kinds: dict[str, Any] = {"dtype": self.model.dtype, "loss": self.loss}
            held_out = held_out_examples("Trainer.fit: validation", validation, **kinds)
            with self.model._guard:
                looked = self._outputs, self._captures.outputs_like, self._rank, self._ranks
                given.check("Trainer.fit", loss, *looked)
                if held_out is not None:
                    held_out.check("Trainer.fit: validation", loss, *looked)
                batches = given.minibatches(batch_size, shuffle, self.rng)
                if self._team is not None:
                    settings = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle}
                    self._team.agree(settings, given, held_out)
                line = TextProgress(epochs, len(batches)) if progress is True else None
                watchers = [line] if line is not None else [progress] if progress else []
                team = [] if self._team is None else [self._team]
                moments = Moments.of([*self.callbacks, *own, *watchers, *team], self._rank)
                self._recorded = recorded_columns(loss, self.l2_penalty > 0.0, held_out is not None)
                try:
                    self._run_epochs(epochs, batches, held_out, moments)
                finally:
                    if line is not None:
                        line.close()
        return self.history

    def _run_epochs(
        self, epochs: int, batches: Ordered, validation: Examples | None, moments: Moments
    ) -> None:
        """Run the epochs of one fit: what it is given is checked, and the model is this thread's alone."""
        captures, history, former = self._captures, self.history, self._moments
        settings: dict[str, Any] = {"epochs": epochs, "alone": validation is None}
        loop: Any = Loop(self, batches, moments, captures, self._interrupts, self._run_step, **settings)
        evaluate: Callable[[Examples], dict[str, float]] = self._evaluate
        if self._team is not None:
            loop, evaluate = self._team.loop(batches, moments, epochs), self._team.evaluate

        def record(row: dict[str, Any], dead_units: tuple[int, ...]) -> None:
            if validation is not None:
                row |= {f"validation_{name}": v for name, v in evaluate(validation).items()}
            row |= {"learning_rate": self.optimizer.last_learning_rate, "dead_units": dead_units}
            history.append(row)
            for end in moments.on_epoch_end:
                end(self, history.last())

        self._stopping = False
        self._watch(moments)
        with self._interrupts:
            try:
                self._interrupts.release()
                for begin in moments.on_fit_begin:
                    begin(self)
                epoch, last = history.epochs, history.epochs + epochs
                while epoch < last and not self._stopping:
                    epoch += loop.epochs(epoch + 1, last - epoch, record)
                for end in moments.on_fit_end:
                    end(self, history)
            finally:
                self._watch(former)

    def _watch(self, moments: Moments) -> None:
        """Call these callbacks from now on."""
        if moments is not self._moments:
            self._moments = moments
            self._captures.watch(moments)

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

        Examples
        --------
        >>> import relu_layers as rl
        >>> x, y = rl.data.two_moons(100, rng=0)
        >>> trainer = rl.Trainer(rl.mlp([2, 16, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.02))
        >>> sorted(trainer.evaluate(x, y))
        ['accuracy', 'loss']
        """
        top_k = integer("Trainer.evaluate", "top_k", top_k, minimum=1)
        with still(self.model, "evaluating"):
            return self._evaluate(self._examples("Trainer.evaluate", x, y, sample_weight), top_k)

    def _evaluate(self, given: Examples, top_k: int = 1) -> dict[str, float]:
        loss = as_loss(self.loss, self.model.ops)
        weight = None if given.sample_weight is None else given.sample_weight[:]
        return loss.measure(self._outputs(given.x), given.y[:], weight, top_k)

    def _outputs(self, x: Any) -> Array:
        """Return what the loss looks at for all rows: a new array."""
        outputs: Array = self._inference.infer_in_parts(x, _EVALUATED_AT_ONCE)
        return outputs

    def _examples(self, owner: str, x: Any, y: Any = None, sample_weight: Any = None) -> Examples:
        """Return the rows that a method is given, in the dtypes of the model and the loss."""
        return examples_or_source(owner, x, y, sample_weight, dtype=self.model.dtype, loss=self.loss)

    def save_checkpoint(self, path: AnyPath) -> None:
        """Write everything that a training needs to go on bit for bit; the suffix decides the format.

        Between two calls of `fit` or `step`, or at the end of an epoch from a callback. From within an epoch
        all is kept but the epoch's place: training would go on with a new epoch. While another thread trains it is
        a RuntimeError: the file would mix the states of two steps. Of several ranks rank 0 writes, and the others do
        nothing.
        """
        if self._rank == 0:
            from relu_layers import checkpoint

            checkpoint.save_trainer(self, path)

    @classmethod
    def restore(
        cls,
        path: AnyPath,
        *,
        model: Sequential | None = None,
        loss: Any = None,
        optimizer: Optimizer | None = None,
        callbacks: Any = (),
        communicator: Communicator | None = None,
    ) -> Self:
        """Return the trainer that `save_checkpoint` wrote; what is passed replaces what would be rebuilt.

        A user's own layer, loss, schedule (in its optimizer) or callback cannot be rebuilt: pass it, freshly
        made, and it gets the state from the file. Otherwise it is a ValueError that names it. The ranks of
        ``communicator`` may be as many as divide the minibatches of an update, and all read the file.
        """
        from relu_layers import checkpoint

        made: dict[str, Any] = {"model": model, "loss": loss, "optimizer": optimizer, "callbacks": callbacks}
        trainer: Self = checkpoint.restore_trainer(cls, path, communicator=communicator, **made)
        return trainer

    def state_dict(self) -> dict[str, Any]:
        """Return the progress that is neither the model's nor the optimizer's: plain values and arrays."""
        with still(self.model, "reading"):
            state: dict[str, Any] = {
                "steps": self.steps,
                "summed": int(self._progress[1]),
                "history": self.history.columns(),
            }
            return {**state, "sum": self._sum} if state["summed"] else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the progress that `state_dict` returned."""
        summed = integer("Trainer", "summed", state["summed"], minimum=0)
        total = state["sum"] if summed else None
        like = self.model.flat_grads
        if total is not None and (np.shape(total) != like.shape or total.dtype != like.dtype):
            raise ValueError("Trainer: the sum of gradients does not fit the model's parameters")
        history = History.from_columns(state["history"])
        steps = integer("Trainer", "steps", state["steps"], minimum=0)
        with alone(self.model, "filling"):
            self.history = history
            self._progress[:] = steps, summed
            if total is not None:
                np.copyto(self._group_sum(), total)

    def __repr__(self) -> str:
        return (
            f"<Trainer of {self.model!r} with {self.loss!r} and {self.optimizer!r}: "
            f"{self.steps} steps, {self.optimizer.updates} updates, {self.history.epochs} epochs>"
        )
