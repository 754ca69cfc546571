"""One step of training: forward, loss, backward, the sum over minibatches, clipping, update.

The order is Caffe's: the gradients of ``accumulate`` minibatches are summed; the norm of the sum is clipped;
the sum is divided by the number of minibatches; decay is added; the optimizer updates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relu_layers._support.arguments import boolean, integer, real
from relu_layers._support.arrays import empty, zeros
from relu_layers._support.configured import Array, Watched
from relu_layers._support.inputs import strict_array
from relu_layers._training.captures import Replay
from relu_layers._training.divergence import diverged
from relu_layers._training.interrupts import Interrupts
from relu_layers.callbacks import Moments, check_callback
from relu_layers.history import History
from relu_layers.layers import Dense, Dropout
from relu_layers.losses import Loss, training_depth
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer

# Batch shapes for which the gradient of the outputs keeps its memory.
_SHAPES_KEPT = 8


class Stepper(Watched):
    """What `Trainer` is made of: the objects that train together, their progress, and the step."""

    def __init__(
        self,
        model: Sequential,
        loss: Any,
        optimizer: Optimizer,
        *,
        clip_norm: float | None = None,
        accumulate: int = 1,
        l2_penalty: float = 0.0,
        callbacks: Sequence[Any] = (),
        rng: np.random.Generator | int | None = None,
        capture: bool = True,
    ) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"Trainer: model is {model!r}, expected a Sequential")
        if isinstance(loss, type) or not callable(loss):
            raise TypeError(f"Trainer: loss is {loss!r}, expected an object such as SoftmaxCrossEntropy()")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"Trainer: optimizer is {optimizer!r}, expected one such as SGD(0.1)")
        self._depth = training_depth(model.layers, loss)
        self.clip_norm = None if clip_norm is None else real("Trainer", "clip_norm", clip_norm)
        if self.clip_norm is not None and self.clip_norm <= 0.0:
            raise ValueError(f"Trainer: clip_norm is {clip_norm}, expected above 0, or None")
        self.accumulate = integer("Trainer", "accumulate", accumulate, minimum=1)
        self.l2_penalty = real("Trainer", "l2_penalty", l2_penalty)
        if self.l2_penalty < 0.0:
            raise ValueError(f"Trainer: l2_penalty is {l2_penalty}, expected at least 0")
        for callback in callbacks:
            check_callback(callback)
        self.callbacks = tuple(callbacks)
        self.capture = boolean("Trainer", "capture", capture)
        self.rng = model.rng if rng is None else np.random.default_rng(rng)
        optimizer.bind(model)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.history = History()
        self.recorded: tuple[str, ...] = ()
        # Minibatches so far, and those in the group that is not complete yet: in memory that captured steps write
        # too. The sum over the minibatches of that group.
        self._progress = np.zeros(2, dtype=np.int64)
        self._sum: Array | None = None
        self._prepare()

    @property
    def steps(self) -> int:
        """Minibatches so far."""
        return int(self._progress[0])

    def _prepare(self) -> None:
        """Make what is not part of the state."""
        self._moments = Moments(self.callbacks)
        self._interrupts = Interrupts()
        # Weights of dense layers: what the penalty is on, as flat views of parameters and gradients.
        self._penalized = [
            (layer.params["weight"].reshape(-1), layer.grads["weight"].reshape(-1))
            for layer in self.model.layers[: self._depth]
            if isinstance(layer, Dense)
        ]
        self._dropouts = [layer for layer in self.model.layers if isinstance(layer, Dropout)]
        self._inference = self.model._passes.first(self._depth)
        self._gradients: dict[tuple[int, ...], Array] = {}
        self._output: Any = None
        self._last_penalty = 0.0
        self._place: tuple[int, int] | None = None
        self._stopping = False
        self._replay = Replay(self)

    def step(self, x: Array, y: Array, sample_weight: Array | None = None) -> float:
        """Train on one minibatch and return its loss before the update.

        Parameters
        ----------
        x : ndarray (batch, features), of the model's dtype
            Not converted: another dtype is a TypeError that prints the conversion (`fit` converts).
        y : ndarray
            What the loss compares with: labels, or an array of the dtype and shape of the outputs.
        sample_weight : ndarray (batch,), optional
            Of the model's dtype.

        Raises
        ------
        DivergenceError
            The loss is not finite; parameters and optimizer are as before the step.
        """
        value = self._replay.step(x, y, sample_weight)
        if value is None:
            value = self._step_in_layers(x, y, sample_weight)
        for end in self._moments.on_step_end:
            end(self, self.steps, value)
        return value

    def _step_in_layers(self, x: Array, y: Array, sample_weight: Array | None) -> float:
        """Do what `step` says by running the layers."""
        model, interrupts = self.model, self._interrupts
        if type(x) is not np.ndarray or x.dtype != model.dtype:
            x = strict_array("Trainer.step", "x", x, model.dtype)
        with model.exclusive():
            installed = interrupts.install()
            try:
                value = self._step(x, y, sample_weight)
                self._replay.consider(x, y, sample_weight)
            finally:
                if installed:
                    interrupts.remove()
                else:
                    interrupts.release()
        return value

    def _step(self, x: Array, y: Array, sample_weight: Array | None = None, close: bool = False) -> float:
        """Run one step; ``close`` ends the group of accumulated minibatches even if it is not complete."""
        masks = [layer.state() for layer in self._dropouts] if self._dropouts else ()
        try:
            value = self._backpropagate(x, y, sample_weight)
            self._take_gradient(x, close)
        except BaseException:
            for layer, state in zip(self._dropouts, masks, strict=False):
                layer.load_state(state)
            raise
        self._progress[0] += 1
        return value

    def _backpropagate(self, x: Array, target: Array, sample_weight: Array | None) -> float:
        """Fill the model's gradients from one minibatch and return its loss."""
        model, loss = self.model, self.loss
        self._output = y = model._run_forward(x, self._depth)
        if isinstance(loss, Loss):
            loss.use(model.ops)
            given, dy = loss(y, target, sample_weight=sample_weight, out=self._buffer(y))
        elif sample_weight is None:
            given, dy = loss(y, target)
        else:
            given, dy = loss(y, target, sample_weight=sample_weight)
        value = float(given)
        if not math.isfinite(value):
            raise diverged(self, "the loss", value, x, y, self._place)
        if dy.shape != y.shape or dy.dtype != y.dtype:
            raise ValueError(
                f"{loss!r} returned a gradient {dy.dtype} of shape {dy.shape}, expected {y.dtype} of {y.shape}"
            )
        model._run_backward(dy, self._depth)
        self._last_penalty = self._penalize(len(y), sample_weight) if self.l2_penalty else 0.0
        return value

    def _penalize(self, rows: int, sample_weight: Array | None) -> float:
        """Add the penalty to the gradients and return what it adds to the loss."""
        add, strength = self.model.ops.l2_penalty, self.l2_penalty
        return math.fsum(
            add(param, grad, strength=strength, rows=rows, sample_weight=sample_weight)
            for param, grad in self._penalized
        )

    def _buffer(self, y: Array) -> Array:
        """Return the array that takes the gradient of ``y``."""
        buffer = self._gradients.get(y.shape)
        if buffer is None:
            if len(self._gradients) >= _SHAPES_KEPT:
                self._gradients.pop(next(iter(self._gradients)))
            buffer = self._gradients[y.shape] = empty(y.shape, y.dtype)
        return buffer

    def _take_gradient(self, x: Array, close: bool) -> None:
        """Add this minibatch's gradient to its group, and update if that completes the group."""
        model, count = self.model, int(self._progress[1]) + 1
        if count < self.accumulate and not close:
            total = self._group_sum()
            if count == 1:
                np.copyto(total, model.flat_grads)
            else:
                model.ops.accumulate(total, model.flat_grads)
            self._progress[1] = count
            return
        if count > 1:
            # Into the model's own array, so that callbacks find the sum where gradients always are.
            model.ops.accumulate(model.flat_grads, self._sum)
        for ready in self._moments.on_gradients_ready:
            ready(self)
        scale = 1.0
        if self.clip_norm is not None:
            norm = self.optimizer.gradient_norm()
            if not math.isfinite(norm):
                raise diverged(self, "the gradient norm", norm, x, self._output, self._place)
            if norm > self.clip_norm:
                scale = self.clip_norm / norm
        self.optimizer.update(scale / count)
        self._progress[1] = 0

    def _group_sum(self) -> Array:
        """Return the array for the sum of a group's gradients."""
        if self._sum is None:
            like = self.model.flat_grads
            self._sum = zeros(like.shape, like.dtype)
        return self._sum

    def state_dict(self) -> dict[str, Any]:
        """Return the progress that is neither the model's nor the optimizer's: plain values and arrays."""
        state: dict[str, Any] = {
            "steps": self.steps,
            "summed": int(self._progress[1]),
            "history": self.history.columns(),
        }
        return {**state, "sum": self._sum} if state["summed"] else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        summed = integer("Trainer", "summed", state["summed"], minimum=0)
        total = state["sum"] if summed else None
        like = self.model.flat_grads
        if total is not None and (np.shape(total) != like.shape or total.dtype != like.dtype):
            raise ValueError("Trainer: the sum of gradients does not fit the model's parameters")
        self.history = History.from_columns(state["history"])
        self._progress[:] = integer("Trainer", "steps", state["steps"], minimum=0), summed
        if total is not None:
            np.copyto(self._group_sum(), total)

    def __getstate__(self) -> dict[str, Any]:
        made = (
            "_moments",
            "_interrupts",
            "_dropouts",
            "_inference",
            "_gradients",
            "_output",
            "_last_penalty",
            "_penalized",
            "_place",
            "_replay",
        )
        state = {name: value for name, value in self.__dict__.items() if name not in made}
        return state | {"_progress": self._progress.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.optimizer.bind(self.model)
        self._prepare()
