"""Captured training passes: forward for training and backward of a model, each one replay call."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from relu_layers import _core
from relu_layers._engine.alive import Pass, Runner, apart, not_after_forward
from relu_layers._engine.captures import Snapshot, can_be_captured, watched
from relu_layers._engine.passes import SHAPES_KEPT, Shape, check_gradient
from relu_layers._support.arguments import boolean
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers._support.phases import BACKWARD, FORWARD
from relu_layers.layers import Dropout

if TYPE_CHECKING:
    from relu_layers.losses import Loss


class LoopCaptures:
    """The latest training pass of one model, captured for shapes that come again.

    A captured pass runs in a workspace of its shape, which the next forward of that shape takes over.
    """

    def __init__(self, runner: Runner, namespace: Any, gradients: Array) -> None:
        self._runner, self._namespace, self._gradients = runner, namespace, gradients
        self._latest: Pass | None = None
        self._forget()

    def _forget(self) -> None:
        passes = self._runner.passes
        layers = passes.layers
        self._dropouts = [layer for layer in layers if isinstance(layer, Dropout)]
        counters = [layer.shared_counter for layer in self._dropouts]
        self._replay = _core.PassReplay(self._runner.guard, self._gradients, counters, watched(layers))
        self._snapshot = Snapshot(layers)
        self._possible = can_be_captured(layers, self._namespace)
        self._seen: set[Shape] = set()
        # By shape: the pass that was recorded, whose batch is a stand-in.
        self._recorded: dict[Shape, tuple[Pass, Array]] = {}

    def forward(self, x: Array) -> Array | None:
        """Return y of a captured forward, or None where the layers have to be run."""
        self._latest = None
        return self._replay.forward(x)

    def run(self, x: Array, whole: bool) -> Pass:
        """Run forward in the layers; the pass is the latest."""
        self._latest = None
        self._replay.forget()
        self._refresh()
        self._latest = latest = self._runner.run(x, whole)
        if not whole:
            self._consider(x)
        return latest

    def _refresh(self) -> None:
        """Drop the captures if what they depend on has changed."""
        if self._replay.current:
            return
        if self._snapshot.holds():
            self._replay.renew()
        else:
            self._forget()

    def consider(self, x: Array) -> None:
        """Capture the forward of such batches if they have been seen before: called after a step in the layers."""
        self._refresh()
        self._consider(x)

    def loss_and_gradients(
        self,
        loss: Loss,
        x: Array,
        target: Any,
        sample_weight: Array | None,
        before_backward: Callable[[float, Array], object],
    ) -> tuple[float, Array] | None:
        """Replay forward, call the loss, replay backward: what `Passes.loss_and_gradients` does, with the same bits.

        Called within a step. Returns the loss and the outputs, or None where the layers have to be run: there is no
        capture, the loss is not finite, or it ran the model itself.
        """
        self._latest = None
        masks = [layer.state_dict() for layer in self._dropouts]
        y = self._replay.forward(x, True)
        if y is None:
            return None
        try:
            given, dy = loss(y, target, sample_weight=sample_weight)
            value = float(given)
            if not math.isfinite(value) or not self._replay.pending or self._replay.batch is not x:
                for layer, state in zip(self._dropouts, masks, strict=True):
                    layer.load_state_dict(state)
                return None
            before_backward(value, y)
            check_gradient(loss, y, dy)
            if self._replay.backward(dy, False, False, True) is False:
                self._latest = self._pass_under_way()
                self._capture_backward(dy, False, False)
                self._latest.backward(dy, need_dx=False)
        finally:
            self._latest = None
            self._replay.forget()
        return value, y

    def backward(self, dy: Array, need_dx: Any, accumulate: Any) -> Array | None:
        """Go backward through the latest pass."""
        if type(need_dx) is not bool or type(accumulate) is not bool:
            need_dx = boolean("backward", "need_dx", need_dx)
            accumulate = boolean("backward", "accumulate", accumulate)
        if self._latest is None:
            dx: Any = self._replay.backward(dy, need_dx, accumulate)
            if dx is not False:
                return cast(Array | None, dx)
            if not self._replay.pending:
                raise not_after_forward("there is none, or it went backward before")
            self._latest = self._pass_under_way()
            # Where it cannot be recorded, the layers below say what is wrong.
            self._capture_backward(dy, need_dx, accumulate)
            self._replay.forget()
        latest: Any = self._latest.backward(dy, need_dx=need_dx, accumulate=accumulate)
        return None if latest is None else np.asarray(latest)

    def _consider(self, x: Array) -> None:
        """Capture the forward of such batches if it may come again."""
        if not self._possible or type(x) is not np.ndarray or not x.flags.c_contiguous or not x.flags.aligned:
            return
        if x.shape not in self._seen:
            if len(self._seen) >= SHAPES_KEPT:
                self._seen.clear()
            self._seen.add(x.shape)
            return
        if self._replay.fits(x):
            return
        with suppress(MemoryError):
            self._record(x)

    def _record(self, x: Array) -> None:
        runner, stand_in = self._runner, np.empty(x.shape, x.dtype)
        masks = [layer.state_dict() for layer in self._dropouts]
        capture = _core.Capture(stand_in, None, None, None)
        try:
            capture.start(FORWARD)
            if capture.failure is not None:  # another thread is recording
                return
            recorded = runner.run(stand_in, False)
        except (TypeError, ValueError, IndexError):
            return
        finally:
            capture.stop()
            for layer, state in zip(self._dropouts, masks, strict=True):
                layer.load_state_dict(state)
            self._replay.renew()
        outputs = recorded.outputs
        if capture.failure is not None or outputs is None:
            return
        if len(self._recorded) >= SHAPES_KEPT:
            self._recorded.pop(next(iter(self._recorded)))
        self._recorded[x.shape] = recorded, stand_in
        self._replay.add(capture, outputs)

    def _pass_under_way(self) -> Pass:
        """Return the captured forward that waits for its backward, for the layers to go on with."""
        x = self._replay.batch
        recorded, stand_in = self._recorded[x.shape]
        return recorded.with_batch(x, stand_in, self._replay.forwards, self._replay.version)

    def _capture_backward(self, dy: Array, need_dx: bool, accumulate: bool) -> None:
        """Record a backward like this one: called while a captured forward waits for it."""
        x = self._replay.batch
        recorded, stand_in = self._recorded[x.shape]
        fits = type(dy) is np.ndarray and dy.dtype == x.dtype and dy.shape == recorded.y.shape
        if not fits or not self._replay.current:
            return
        passes, workspace = self._runner.passes, recorded.workspace
        batch_dy = empty(dy.shape, dy.dtype)
        dx = empty(x.shape, x.dtype) if need_dx else None
        capture = _core.Capture(stand_in, batch_dy, None, dx)
        layers = apart(passes.layers)
        before = workspace.gradients[0]
        workspace.gradients[0] = dx
        try:
            capture.start(BACKWARD)
            if capture.failure is not None:
                return
            recorded.keep_in(layers)
            passes.backward_in(workspace, layers, batch_dy, len(layers), need_dx, accumulate=accumulate)
        except (TypeError, ValueError, IndexError):
            return
        finally:
            capture.stop()
            workspace.gradients[0] = before
        if capture.failure is None:
            self._replay.add_backward(capture, need_dx, accumulate)
