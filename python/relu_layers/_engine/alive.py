"""Training passes that live beside each other: each has its own activations, whatever the model does meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from relu_layers._engine.abilities import BUILT_IN_LAYERS, Units
from relu_layers._engine.passes import SHAPES_KEPT, Passes, Shape, TrainingWorkspace
from relu_layers._support.arguments import boolean, strict_array
from relu_layers._support.configured import Array
from relu_layers.layers import Dropout

# Free workspaces kept of one shape.
_FREE_OF_A_SHAPE = 4


class Pass:
    """One forward of a model for training, and its backward.

    Returned by ``model.run(x)``. Any number may be alive; each goes backward once, in any order. The batch must stay
    unchanged until then, and so must the parameters: updating them in between is a RuntimeError at `backward`.

    Attributes
    ----------
    y : ndarray
        What the last layer returned; the caller's own.
    inputs : sequence of ndarray
        ``inputs[i]`` is what layer i got.
    dys : sequence of ndarray
        ``dys[i]`` is the gradient of what layer i returned; after `backward`, from the first layer on that it went
        through.

    Notes
    -----
    A layer of the user's own keeps its
    state in itself, so that with one of them only the latest pass can go backward.
    """

    __slots__ = (
        *("_depth", "_kept", "_layers", "_runner", "_served", "_shown", "_spent", "_version", "_workspace"),
        "y",
    )

    def __init__(self, runner: Runner, x: Array, whole: bool) -> None:
        passes = runner.passes
        self._runner = runner
        self._depth = len(passes.layers)
        self._spent = self._shown = False
        self._workspace = runner.take(x.shape, whole)
        self._layers = apart(passes.layers)
        units: Units = [(i,) for i in range(self._depth)] if whole else passes.units(range(self._depth))
        self.y = np.array(passes.forward_in(self._workspace, self._layers, units, x), order="C")
        self._served = passes.served
        self._version = runner.guard.version
        # What the layers keep for backward, so that an error in the middle of one leaves the pass as it was.
        self._kept: list[Any] = [getattr(layer, "_saved", None) for layer in self._layers]

    def __del__(self) -> None:
        with suppress(AttributeError):  # of a pass that could not be made
            if not self._shown:  # else a caller has its arrays
                self._runner.give(self._workspace)

    def keep_in(self, layers: Sequence[Any]) -> None:
        """Have ``layers`` keep what those of this pass kept in its forward."""
        for layer, kept in zip(layers, self._kept, strict=True):
            if kept is not None:
                layer._saved = kept

    def with_batch(self, x: Array, stand_in: Array, forwards: int, version: int) -> Pass:
        """Return this recorded pass as it is after a replay with batch x instead of ``stand_in``.

        ``forwards`` is how often masks of dropout have been drawn between the recording and the replay.
        """
        result = Pass.__new__(Pass)
        for name in ("_depth", "_layers", "_runner", "_served", "_workspace", "y"):
            setattr(result, name, getattr(self, name))
        result._spent, result._shown, result._version = False, True, version
        result._kept = [
            x
            if kept is stand_in
            else (kept[0], (kept[1] + forwards) % 2**64)
            if isinstance(layer, Dropout)
            else kept
            for kept, layer in zip(self._kept, self._layers, strict=True)
        ]
        return result

    @property
    def workspace(self) -> TrainingWorkspace:
        """The buffers of the pass."""
        return self._workspace

    @property
    def outputs(self) -> Array | None:
        """The buffer that the last layer filled."""
        return self._workspace.results[-1]

    @property
    def ready(self) -> bool:
        """Whether `backward` can be called."""
        passes = self._runner.passes
        mixed = passes.keeps_own_state and passes.served is not self._served
        return not (self._spent or mixed or self._version != self._runner.guard.version)

    @property
    def inputs(self) -> Sequence[Array]:
        """What each layer got."""
        workspace, self._shown = self._workspace, True
        return [workspace.x, *workspace.results[:-1]]  # type: ignore[list-item]

    @property
    def dys(self) -> Sequence[Array]:
        """The gradient of what each layer returned; a RuntimeError before `backward`."""
        if not self._spent:
            raise RuntimeError("Pass: dys are there after backward(dy)")
        self._shown = True
        return self._workspace.dys  # type: ignore[return-value]

    def backward(self, dy: Array, *, need_dx: bool = True, accumulate: bool = False) -> Any:
        """Fill the model's ``grads`` and return the gradient of x.

        Parameters
        ----------
        dy : ndarray
            Of the shape of ``y`` and the model's dtype.
        need_dx : bool, keyword
            False returns None: the product for the gradient of x, as large as the one for the first layer's weight,
            is not computed.
        accumulate : bool, keyword
            Whether gradients are added to those that ``grads`` holds.

        Raises
        ------
        RuntimeError
            The pass went backward before; the parameters have changed since it ran; or a layer of the user's own has
            been used for something else since.
        """
        runner, passes = self._runner, self._runner.passes
        need_dx = boolean("backward", "need_dx", need_dx)
        accumulate = boolean("backward", "accumulate", accumulate)
        dy = strict_array("Sequential", "dy", dy, passes.dtype)
        if self._spent:
            raise not_after_forward("this pass went backward before")
        with runner.guard:
            if self._version != runner.guard.version:
                raise not_after_forward("the parameters were updated in between")
            if passes.keeps_own_state and passes.served is not self._served:
                raise not_after_forward("a layer of your own has been used for something else in between")
            self.keep_in(self._layers)
            workspace = self._workspace
            units: Units | None = None
            if workspace.whole:
                stop = 0 if need_dx else passes.first_learning()
                units = [(i,) for i in range(self._depth - 1, stop - 1, -1)]
            dx = passes.backward_in(
                workspace, self._layers, dy, self._depth, need_dx, accumulate=accumulate, units=units
            )
        self._spent = True
        return dx if need_dx else None


class Runner:
    """Makes the passes of one model.

    Parameters
    ----------
    passes : Passes
    guard : UsageGuard
        Of the model.
    """

    def __init__(self, passes: Passes, guard: Any) -> None:
        self.passes, self.guard = passes, guard
        self._free: dict[tuple[Shape, bool], list[TrainingWorkspace]] = {}

    def run(self, x: Array, whole: bool) -> Pass:
        """Run forward; with ``whole`` every layer's input and gradient is kept."""
        with self.guard:
            return Pass(self, x, whole)

    def take(self, shape: Shape, whole: bool) -> TrainingWorkspace:
        """Return a workspace that nothing else uses."""
        free = self._free.get((shape, whole))
        if not free:
            return self.passes.workspace(shape, whole)
        try:
            return free.pop()
        except IndexError:  # another thread was first
            return self.passes.workspace(shape, whole)

    def give(self, workspace: TrainingWorkspace) -> None:
        """Take a workspace back."""
        if workspace.x is None:
            return
        key = workspace.x.shape, workspace.whole
        if key not in self._free and len(self._free) >= SHAPES_KEPT:
            self._free.clear()
        free = self._free.setdefault(key, [])
        if len(free) < _FREE_OF_A_SHAPE:
            free.append(workspace)

    def input_gradient(self, x: Array, dy: Array) -> Array:
        """Return the gradient of x without touching the model's gradients, layers as at inference."""
        passes = self.passes
        if passes.keeps_own_state:
            with self.guard:
                before = [{name: view.copy() for name, view in grads.items()} for _, grads in passes.views]
                try:
                    return self._gradient_of_input(x, dy)
                finally:
                    for (_, grads), values in zip(passes.views, before, strict=True):
                        for name, value in values.items():
                            np.copyto(grads[name], value)
        self.guard.begin_inference()
        try:
            return self._gradient_of_input(x, dy)
        finally:
            self.guard.end_inference()

    def _gradient_of_input(self, x: Array, dy: Array) -> Array:
        passes, layers = self.passes, apart(self.passes.layers)
        workspace = self.take(x.shape, False)
        try:
            units: Units = [(i,) for i in passes.inference_steps]
            passes.forward_in(workspace, layers, units, x, training=False)
            frozen = frozenset(range(len(layers)))
            dx = passes.backward_in(
                workspace, layers, dy, len(layers), True, frozen, units=list(reversed(units))
            )
            return np.array(dx, order="C")
        finally:
            self.give(workspace)


def apart(layers: Sequence[Any]) -> list[Any]:
    """Return stand-ins for built-in layers, with their arrays but a state of their own, beside a user's layers."""
    return [_stand_in(layer) if type(layer) in BUILT_IN_LAYERS else layer for layer in layers]


def _stand_in(layer: Any) -> Any:
    kind: Any = type(layer)
    twin = kind.__new__(kind)
    twin.__dict__.update(layer.__dict__)
    twin.__dict__["_saved"] = None
    return twin


def not_after_forward(why: str) -> RuntimeError:
    """Return the error for a backward that has no forward."""
    return RuntimeError(
        f"Sequential: backward must follow forward(x, training=True), one backward for each; {why}"
    )
