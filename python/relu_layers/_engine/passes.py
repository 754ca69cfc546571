"""Passes: running the layers of a model with the buffers between them, at inference and in training.

Memory is planned once per batch shape, reused, and never handed to a caller. A training pass keeps every layer's
output until backward has read it; inference needs only the output before and the one after a layer, so a few arrays
take turns. They are three because a layer that does the work of its neighbour reads what is two places away from what
it writes. The gradients that flow backward take turns in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from relu_layers._engine import flat_arrays
from relu_layers._engine.abilities import BUILT_IN_LAYERS, Abilities, Units
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers.layers import ReLU
from relu_layers.layers.base import METHODS
from relu_layers.layers.mapping import checked_value

if TYPE_CHECKING:
    from relu_layers.losses import Loss

_FORWARD, _BACKWARD = METHODS[ReLU]
# An inference workspace above this size is given back after use: allocating it again costs less than what it
# computes.
_BYTES_KEPT = 64 * 2**20

Shape = tuple[int, ...]

# Batch shapes remembered per model: whole batches, an epoch's last batch, and validation have room; a server
# that sees every batch size does not fill the memory.
SHAPES_KEPT = 8
# Numbers of layers whose parameters stay what they are.
Frozen = frozenset[int]


class LossAndGradients(NamedTuple):
    """The result of one forward and backward pass through a loss.

    ``outputs`` is what the loss looked at, a buffer that the next pass overwrites; ``dx`` the gradient of the batch,
    a buffer too, or None where it was not asked for.
    """

    value: float
    outputs: Array
    dx: Array | None


def taking_turns(shapes: list[Shape | None], dtype: np.dtype[Any]) -> tuple[list[Array | None], int]:
    """Return a buffer per shape, up to two places apart never in the same memory, and the bytes allocated."""
    sizes = [0 if shape is None else math.prod(shape) for shape in shapes]
    memory = [empty((max(sizes[turn::3], default=0),), dtype) for turn in range(3)]
    buffers = [
        None if shape is None else memory[i % 3][: sizes[i]].reshape(shape) for i, shape in enumerate(shapes)
    ]
    return buffers, sum(block.nbytes for block in memory)


def check_gradient(loss: Loss, y: Array, dy: Any) -> None:
    """Raise a ValueError unless dy has the shape and dtype of y."""
    if not isinstance(dy, np.ndarray) or dy.shape != y.shape or dy.dtype != y.dtype:
        came = f"{dy.dtype} of shape {dy.shape}" if isinstance(dy, np.ndarray) else type(dy).__name__
        raise ValueError(f"{loss!r} returned a gradient {came}, expected {y.dtype} of {y.shape}")


class TrainingWorkspace:
    """Outputs of all layers and gradients of their inputs, for one batch shape.

    With ``whole`` no gradient takes the memory of another.

    Attributes
    ----------
    x : ndarray or None
        The batch of the last training forward: the caller's array.
    outputs, gradients : list of ndarray or None
        Output of layer i, gradient of the input of layer i; None where the layer's own result is taken as it
        comes.
    dys : list of ndarray or None
        The gradients of what the layers returned, in the last backward.
    results : list of ndarray or None
        What the layers returned in the last training forward: the outputs, or a layer's own arrays; for a layer
        that did the work of the ReLU after it, that ReLU's output.
    """

    __slots__ = ("_output_gradient", "dys", "gradients", "outputs", "results", "whole", "x")

    def __init__(self, shapes: list[Shape | None], dtype: np.dtype[Any], whole: bool = False) -> None:
        self.x: Array | None = None
        self.whole = whole
        self.outputs = [None if shape is None else empty(shape, dtype) for shape in shapes]
        self.results = list(self.outputs)
        self.dys: list[Array | None] = [None] * len(shapes)
        # The gradient of the model's own input is asked for by backward alone, which returns a new array.
        inner = [None, *shapes[:-1]]
        if whole:
            self.gradients = [None if shape is None else empty(shape, dtype) for shape in inner]
        else:
            self.gradients, _ = taking_turns(inner, dtype)
        self._output_gradient: Array | None = None

    def output_gradient(self, y: Array) -> Array:
        """Return the buffer that the loss of outputs ``y`` fills; made when it is first needed."""
        buffer = self._output_gradient
        if buffer is None or buffer.shape != y.shape:
            buffer = self._output_gradient = empty(y.shape, y.dtype)
        return buffer


class Passes:
    """The layers of one model with their buffers.

    Parameters
    ----------
    layers : tuple
        Bound to the model's arrays.
    views : list of (dict, dict)
        Each layer's parameters and gradients as views of the model's arrays.
    dtype : np.dtype
        Of everything that flows.
    """

    def __init__(
        self,
        layers: tuple[Any, ...],
        views: list[tuple[dict[str, Array], dict[str, Array]]],
        dtype: np.dtype[Any],
    ) -> None:
        self.layers = layers
        self.views = views
        self.dtype = dtype
        # Without those of the layers that a user's layer is made of, which hold theirs themselves.
        self._own_views = [
            (flat_arrays.own_views(p, layer.params), flat_arrays.own_views(g, layer.params))
            for layer, (p, g) in zip(layers, views, strict=True)
        ]
        self.abilities = Abilities(layers)
        # Backward may stop where no layer before has anything to learn.
        self._learning = tuple(i for i in range(len(layers)) if views[i][0] or not self.abilities.managed[i])
        # Layers of a user's keep what backward needs in themselves, so that they serve one pass at a time: which.
        self.keeps_own_state = any(type(layer) not in BUILT_IN_LAYERS for layer in layers)
        self.served: object = None
        # Inference passes by what does nothing outside training.
        self.inference_steps = tuple(i for i, idle in enumerate(self.abilities.idle) if not idle)
        self._inference_units = self.abilities.units(self.inference_steps)
        # By the layers that a training pass runs through, first and last: depth and where it stops.
        self._units: dict[range, Units] = {}
        for depth in (len(layers), len(layers) - 1):
            self.units(range(depth))
            self.units(range(depth - 1, self.first_learning() - 1, -1))
        # Inference buffers by batch shape: one set for each inference that ran at the same time.
        self._free: dict[Shape, list[dict[int, Array | None]]] = {}
        self._workspaces: dict[Shape, TrainingWorkspace] = {}
        self._current: TrainingWorkspace | None = None
        # Depth of the training forward that waits for its backward.
        self._pending: int | None = None

    def first_learning(self, frozen: Frozen = frozenset()) -> int:
        """Return the first layer that learns; their number if there is none."""
        return next((i for i in self._learning if i not in frozen), len(self.layers))

    def frozen(self, keys: Container[str]) -> Frozen:
        """Return the layers all of whose parameters are among ``keys``, such as ``"0.weight"``."""
        return frozenset(
            i for i, (own, _) in enumerate(self.views) if own and all(f"{i}.{name}" in keys for name in own)
        )

    def first(self, depth: int) -> Passes:
        """Return the passes of the first ``depth`` layers alone, with buffers of their own."""
        if depth == len(self.layers):
            return self
        return Passes(self.layers[:depth], self.views[:depth], self.dtype)

    # --- which layer does the work of its neighbour ---

    def _slope(self, unit: tuple[int, ...]) -> float | None:
        """Return the slope of the unit's ReLU if the layer beside it does its work now, else None."""
        if len(unit) == 1 or getattr(self.layers[unit[0]].ops, "FUSES_RELU", False) is not True:
            return None
        dense, relu = self.layers[unit[0]], self.layers[unit[1]]
        own, other = relu.__dict__, dense.__dict__
        # Functions in place of the layers' own have to be called: here, where it costs the least, not by a call.
        if "forward" in own or "backward" in own or "forward" in other or "backward" in other:
            return None
        if ReLU.forward is not _FORWARD or ReLU.backward is not _BACKWARD:
            return None
        slope: float = relu.negative_slope
        # The gradient depends on the sign of x alone, which y has if the slope is not negative.
        return slope if slope >= 0.0 else None

    # --- inference ---

    def infer(self, x: Array, out: Array | None) -> Array:
        """Return y in ``out`` or in a new array, computed in buffers of this call's own."""
        self._pending = self.served = None
        try:
            buffers, size = self._free[x.shape].pop(), 0
        except (KeyError, IndexError):
            buffers, size = self._inference_buffers(x)
        y = self._infer_in(buffers, x, out)
        if size <= _BYTES_KEPT:
            if len(self._free) >= SHAPES_KEPT and x.shape not in self._free:
                self._free.clear()
            self._free.setdefault(x.shape, []).append(buffers)
        return y

    def infer_in_parts(self, x: Any, rows: int) -> Array:
        """Return y, a new array, computed from ``rows`` rows of x at a time; x is sliced, and need not be an array."""
        first = self.infer(x[:rows], None)
        if len(x) <= rows:
            return first
        if len(first) != rows:  # a layer that changes the number of rows
            return self.infer(x[:], None)
        y = np.empty((len(x), *first.shape[1:]), dtype=first.dtype)
        y[:rows] = first
        for start in range(rows, len(x), rows):
            part = slice(start, start + rows)
            self.infer(x[part], y[part])
        return y

    def infer_apart(self, x: Array, out: Array) -> bool:
        """Compute y in buffers that nothing else uses from now on; False where they would be too large."""
        buffers, size = self._inference_buffers(x)
        if size <= _BYTES_KEPT:
            self._infer_in(buffers, x, out)
        return size <= _BYTES_KEPT

    def _inference_buffers(self, x: Array) -> tuple[dict[int, Array | None], int]:
        """Return a buffer for the output of each layer but the last, and their size in bytes."""
        shapes, inner = self.shapes(x.shape), self.inference_steps[:-1]
        buffers, size = taking_turns([shapes[i] for i in inner], self.dtype)
        return dict(zip(inner, buffers, strict=True)), size

    def _infer_in(self, buffers: dict[int, Array | None], x: Array, out: Array | None) -> Array:
        layers, y, index = self.layers, x, 0
        try:
            for unit in self._inference_units:
                index, slope = unit[0], self._slope(unit)
                if slope is not None:
                    y = layers[index].forward(y, False, negative_slope=slope, out=buffers.get(unit[1], out))
                    continue
                for index in unit:
                    if self.abilities.managed[index]:
                        y = layers[index].forward(y, False, out=buffers.get(index, out))
                    else:
                        y = self._plain(index, y, False)
        except (ValueError, TypeError, IndexError) as error:
            flat_arrays.raise_with_layer(error, index, self.layers[index])
        if self.inference_steps and self.abilities.managed[self.inference_steps[-1]]:
            return y
        # The last layer's own array, or x itself.
        if out is None:
            return np.array(y, order="C")
        if out is not y:
            np.copyto(checked_value("out", "y", out, y), y)
        return out

    # --- training ---

    def loss_and_gradients(
        self,
        loss: Loss,
        x: Array,
        target: Any,
        sample_weight: Array | None = None,
        *,
        depth: int | None = None,
        need_dx: bool = False,
        frozen: Frozen = frozenset(),
        before_backward: Callable[[float, Array], object] | None = None,
    ) -> LossAndGradients:
        """Run forward to the loss, the loss, and backward: the gradients of the layers are filled.

        Parameters
        ----------
        loss : Loss
            See `relu_layers.losses.as_loss`.
        x, target, sample_weight : ndarray
            A batch, as the layers and the loss take it.
        depth : int, keyword
            Layers before the loss, all by default; see `relu_layers.losses.training_depth`.
        need_dx : bool, keyword
            Whether the gradient of x is computed too.
        frozen : frozenset of int, keyword
            Layers whose gradients are not wanted: they stay what they were.
        before_backward : callable, keyword
            Called as ``before_backward(value, outputs)`` between the loss and the backward pass.

        Raises
        ------
        ValueError
            The loss returned a gradient of another shape or dtype than the outputs.
        """
        depth = len(self.layers) if depth is None else depth
        y = self.forward(x, depth)
        given, dy = loss(
            y, target, sample_weight=sample_weight, out=self._workspaces[x.shape].output_gradient(y)
        )
        value = float(given)
        if before_backward is not None:
            before_backward(value, y)
        check_gradient(loss, y, dy)
        dx = self.backward(dy, depth, need_dx, frozen)
        return LossAndGradients(value, y, dx if need_dx else None)

    def forward(self, x: Array, depth: int) -> Array:
        """Run the first ``depth`` layers for training; return a workspace buffer (x itself for depth 0)."""
        self._pending = None
        workspace = self._workspaces.get(x.shape) or self._new_workspace(x.shape)
        y = self.forward_in(workspace, self.layers, self.units(range(depth)), x)
        self._current, self._pending = workspace, depth
        return y

    def forward_in(
        self,
        workspace: TrainingWorkspace,
        layers: Sequence[Any],
        units: Units,
        x: Array,
        training: bool = True,
    ) -> Array:
        """Run ``units`` of ``layers``, which are the model's or stand for them; return a workspace buffer.

        Without ``training`` a user's own layers are run as at inference.
        """
        self.served = workspace
        outputs, results = workspace.outputs, workspace.results
        workspace.x = y = x
        index = 0
        try:
            for unit in units:
                index, slope = unit[0], self._slope(unit)
                if slope is not None:
                    relu = unit[1]
                    y = layers[index].forward(y, True, negative_slope=slope, out=outputs[relu])
                    # The ReLU's own input is never stored; its backward can work from y as well.
                    layers[relu]._saved = results[index] = results[relu] = y
                    continue
                for index in unit:
                    if self.abilities.managed[index]:
                        y = layers[index].forward(y, True, out=outputs[index])
                    else:
                        y = self._plain(index, y, training)
                    results[index] = y
        except (ValueError, TypeError, IndexError) as error:
            flat_arrays.raise_with_layer(error, index, self.layers[index])
        return y

    def backward(self, dy: Array, depth: int, need_dx: bool, frozen: Frozen = frozenset()) -> Array:
        """Fill the gradients of the first ``depth`` layers and return dx; without ``need_dx`` stop early."""
        workspace = self._current
        if workspace is None or self._pending != depth:
            raise RuntimeError(
                "Sequential: backward must follow forward(x, training=True), one backward for each; "
                "the last call on this model was something else (model(x) is inference)"
            )
        dy = self.backward_in(workspace, self.layers, dy, depth, need_dx, frozen)
        self._pending = None
        return dy

    def units(self, order: range) -> Units:
        """Return layers in the order of a pass, cut into units; each order is cut once."""
        if order not in self._units:
            self._units[order] = self.abilities.units(order)
        return self._units[order]

    def backward_in(
        self,
        workspace: TrainingWorkspace,
        layers: Sequence[Any],
        dy: Array,
        depth: int,
        need_dx: bool,
        frozen: Frozen = frozenset(),
        *,
        accumulate: bool = False,
        units: Units | None = None,
    ) -> Array:
        """Fill gradients, or add to them, and return dx: what `forward_in` did with these layers, backward."""
        gradients, dys = workspace.gradients, workspace.dys
        stop = 0 if need_dx else self.first_learning(frozen)
        if units is None:
            units = self.units(range(depth - 1, stop - 1, -1))
        index = depth
        try:
            for unit in units:
                index, slope = unit[0], self._slope(unit)
                dys[index] = dy
                wanted = self._wanted(index, frozen, accumulate)
                if slope is not None:
                    relu = unit[1]
                    dy = layers[index].backward(dy, **wanted, negative_slope=slope, out=gradients[relu])
                    layers[relu]._saved = None
                    continue
                for index in unit:
                    dys[index] = dy
                    wanted = self._wanted(index, frozen, accumulate)
                    # A backward that overwrites gradients: what they were is added afterwards.
                    copied = self.views[index][1] if accumulate and not self.abilities.adds[index] else {}
                    kept = {name: view.copy() for name, view in copied.items()}
                    if not self.abilities.managed[index]:
                        dy = layers[index].backward(dy)
                        flat_arrays.adopt(layers[index].grads, self._own_views[index][1])
                    elif index == stop and not need_dx and self.abilities.skips_dx[index]:
                        layers[index].backward(dy, need_dx=False, **wanted)
                    else:
                        dy = layers[index].backward(dy, **wanted, out=gradients[index])
                    for name, values in kept.items():
                        self.views[index][1][name] += values
        except (ValueError, TypeError, IndexError) as error:
            flat_arrays.raise_with_layer(error, index, self.layers[index])
        return (
            dy
            if not need_dx or (units and self.abilities.managed[units[-1][-1]])
            else np.array(dy, order="C")
        )

    def _wanted(self, index: int, frozen: Frozen, accumulate: bool) -> dict[str, bool]:
        """Return the keywords that say what a layer's backward has to do with its gradients."""
        if index in frozen and self.abilities.skips_gradients[index]:
            return {"need_gradients": False}
        return {"accumulate": True} if accumulate and self.abilities.adds[index] else {}

    def training_input(self, index: int) -> Array | None:
        """Return what layer ``index`` got in the last training forward, readable until the next one."""
        now = self._current
        return None if now is None else now.x if index == 0 else now.results[index - 1]

    def workspace(self, shape: Shape, whole: bool = False) -> TrainingWorkspace:
        """Return new buffers for training on batches of ``shape``."""
        return TrainingWorkspace(self.shapes(shape), self.dtype, whole)

    def _new_workspace(self, shape: Shape) -> TrainingWorkspace:
        """Make the buffers that serve all training on batches of ``shape``."""
        if len(self._workspaces) >= SHAPES_KEPT:
            self._workspaces.pop(next(iter(self._workspaces)))
        workspace = self._workspaces[shape] = self.workspace(shape)
        return workspace

    # --- layers one by one ---

    def shapes(self, x_shape: Shape) -> list[Shape | None]:
        """Return each layer's output shape; None from the first layer on that does not say its own."""
        shapes: list[Shape | None] = []
        shape: Shape | None = x_shape
        for index, layer in enumerate(self.layers):
            try:
                if not self.abilities.managed[index]:
                    shape = None
                elif shape is not None and not self.abilities.keeps_shape[index]:
                    shape = layer.output_shape(shape)
            except (ValueError, TypeError, IndexError) as error:
                flat_arrays.raise_with_layer(error, index, self.layers[index])
            shapes.append(shape)
        return shapes

    def _plain(self, index: int, x: Array, training: bool) -> Array:
        """Run a user's layer and check what it returns."""
        layer, params = self.layers[index], self._own_views[index][0]
        if params:
            flat_arrays.adopt(layer.params, params)
        y = layer.forward(x, training=training)
        if not isinstance(y, np.ndarray) or y.dtype != self.dtype:
            came = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
            raise TypeError(f"forward returned {came}, expected a {self.dtype} array")
        return y
