"""Passes: running the layers of a model with the buffers between them, at inference and in training.

Buffers are planned once per batch shape, reused, and never handed to a caller. A training pass keeps every layer's
output until backward has read it; inference needs only the output before and the one after a layer, so a few arrays
take turns. They are three because a layer that does the work of its neighbour reads what is two places away from
what it writes. The gradients that flow backward take turns in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from relu_layers._engine import flat_arrays
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers.layers import Layer
from relu_layers.layers.mapping import checked_value
from relu_layers.losses import Loss

Shape = tuple[int, ...]

# Batch shapes remembered per model: whole batches, an epoch's last batch, and validation have room; a server
# that sees every batch size does not fill the memory.
_SHAPES_KEPT = 8
# An inference workspace above this size is given back after use: allocating it again costs less than what it
# computes.
_BYTES_KEPT = 64 * 2**20


class LossAndGradients(NamedTuple):
    """The result of one forward and backward pass through a loss.

    ``outputs`` is what the loss looked at, a buffer that the next pass overwrites; ``dx`` the gradient of the batch,
    a buffer too, or None where it was not asked for.
    """

    value: float
    outputs: Array
    dx: Array | None


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
        self._layers = layers
        self._views = views
        self._dtype = dtype
        # A managed layer takes workspace buffers; a user's plain layer returns arrays of its own.
        self._managed = tuple(map(flat_arrays.is_managed, layers))
        self._keeps_shape = tuple(
            isinstance(layer, Layer) and type(layer).output_shape is Layer.output_shape for layer in layers
        )
        self._skips_dx = tuple(flat_arrays.accepts(layer, "backward", "need_dx") for layer in layers)
        # Which layers can do the work of a ReLU beside them, and which of them are such ReLUs.
        self._fuses = tuple(map(flat_arrays.fuses_relu, layers))
        self._fusible = tuple(map(flat_arrays.is_fusible_relu, layers))
        # Where backward may stop: no layer before this one has anything to learn.
        learning = (i for i in range(len(layers)) if views[i][0] or not self._managed[i])
        self._first_learning = next(learning, len(layers))
        # Inference passes by what does nothing outside training.
        self.inference_steps = tuple(
            i
            for i, layer in enumerate(layers)
            if not (isinstance(layer, Layer) and layer.identity_at_inference)
        )
        self._inference_units = self._units(self.inference_steps)
        # By the layers that a training pass runs through, first and last: depth and where it stops.
        self._forward_units: dict[int, list[tuple[int, ...]]] = {}
        self._backward_units: dict[tuple[int, int], list[tuple[int, ...]]] = {}
        for depth in (len(layers), len(layers) - 1):
            self._plan(depth, self._first_learning)
        self._pool = _InferencePool()
        self._workspaces: dict[Shape, _TrainingWorkspace] = {}
        self._current: _TrainingWorkspace | None = None
        # Depth of the training forward that waits for its backward.
        self._pending: int | None = None

    def first(self, depth: int) -> Passes:
        """Return the passes of the first ``depth`` layers alone, with buffers of their own."""
        if depth == len(self._layers):
            return self
        return Passes(self._layers[:depth], self._views[:depth], self._dtype)

    # --- which layer does the work of its neighbour ---

    def _units(self, order: Sequence[int]) -> list[tuple[int, ...]]:
        """Cut an order of layers into units: a layer and the ReLU that comes next, if it can do its work, or one layer.

        In a forward pass the ReLU is the one after the layer, in a backward pass the one before it.
        """
        units: list[tuple[int, ...]] = []
        for index in order:
            if self._fusible[index] and units and len(units[-1]) == 1 and self._fuses[units[-1][0]]:
                units[-1] = *units[-1], index
            else:
                units.append((index,))
        return units

    def _plan(self, depth: int, stop: int) -> None:
        """Cut the forward pass of ``depth`` layers, and the backward pass through them down to ``stop``, into units."""
        self._forward_units[depth] = self._units(range(depth))
        self._backward_units[depth, stop] = self._units(range(depth - 1, stop - 1, -1))

    def _slope(self, unit: tuple[int, ...]) -> float | None:
        """Return the slope of the unit's ReLU if the layer beside it does its work now, else None."""
        if len(unit) == 1 or getattr(self._layers[unit[0]].ops, "FUSES_RELU", False) is not True:
            return None
        if flat_arrays.is_replaced(self._layers[unit[0]]) or flat_arrays.is_replaced(self._layers[unit[1]]):
            return None
        slope: float = self._layers[unit[1]].negative_slope
        # The gradient depends on the sign of x alone, which y has if the slope is not negative.
        return slope if slope >= 0.0 else None

    # --- inference ---

    def infer(self, x: Array, out: Array | None) -> Array:
        """Return y in ``out`` or in a new array, computed in buffers of this call's own."""
        self._pending = None
        buffers, size = self._pool.take(x.shape), 0
        if buffers is None:
            buffers, size = self._inference_buffers(x)
        y = self._infer_in(buffers, x, out)
        if size <= _BYTES_KEPT:
            self._pool.give(x.shape, buffers)
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
        shapes, inner = self._shapes(x.shape), self.inference_steps[:-1]
        buffers, size = _taking_turns([shapes[i] for i in inner], self._dtype)
        return dict(zip(inner, buffers, strict=True)), size

    def _infer_in(self, buffers: dict[int, Array | None], x: Array, out: Array | None) -> Array:
        layers, y, index = self._layers, x, 0
        try:
            for unit in self._inference_units:
                index, slope = unit[0], self._slope(unit)
                if slope is not None:
                    y = layers[index].forward(y, False, negative_slope=slope, out=buffers.get(unit[1], out))
                    continue
                for index in unit:
                    if self._managed[index]:
                        y = layers[index].forward(y, False, out=buffers.get(index, out))
                    else:
                        y = self._plain(index, y, False)
        except (ValueError, TypeError, IndexError) as error:
            self._raise_with_layer(error, index)
        if self.inference_steps and self._managed[self.inference_steps[-1]]:
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
        target: Array,
        sample_weight: Array | None = None,
        *,
        depth: int | None = None,
        need_dx: bool = False,
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
        before_backward : callable, keyword
            Called as ``before_backward(value, outputs)`` between the loss and the backward pass.

        Raises
        ------
        ValueError
            The loss returned a gradient of another shape or dtype than the outputs.
        """
        depth = len(self._layers) if depth is None else depth
        y = self.forward(x, depth)
        given, dy = loss(
            y, target, sample_weight=sample_weight, out=self._workspaces[x.shape].output_gradient(y)
        )
        value = float(given)
        if before_backward is not None:
            before_backward(value, y)
        if not isinstance(dy, np.ndarray) or dy.shape != y.shape or dy.dtype != y.dtype:
            came = f"{dy.dtype} of shape {dy.shape}" if isinstance(dy, np.ndarray) else type(dy).__name__
            raise ValueError(f"{loss!r} returned a gradient {came}, expected {y.dtype} of {y.shape}")
        dx = self.backward(dy, depth, need_dx)
        return LossAndGradients(value, y, dx if need_dx else None)

    def forward(self, x: Array, depth: int) -> Array:
        """Run the first ``depth`` layers for training; return a workspace buffer (x itself for depth 0)."""
        self._pending = None
        if depth not in self._forward_units:
            self._plan(depth, self._first_learning)
        workspace = self._workspaces.get(x.shape) or self._new_workspace(x.shape)
        layers, outputs, results = self._layers, workspace.outputs, workspace.results
        workspace.x = y = x
        index = 0
        try:
            for unit in self._forward_units[depth]:
                index, slope = unit[0], self._slope(unit)
                if slope is not None:
                    relu = unit[1]
                    y = layers[index].forward(y, True, negative_slope=slope, out=outputs[relu])
                    # The ReLU's own input is never stored; its backward can work from y as well.
                    layers[relu]._saved = results[index] = results[relu] = y
                    continue
                for index in unit:
                    if self._managed[index]:
                        y = layers[index].forward(y, True, out=outputs[index])
                    else:
                        y = self._plain(index, y, True)
                    results[index] = y
        except (ValueError, TypeError, IndexError) as error:
            self._raise_with_layer(error, index)
        self._current = workspace
        self._pending = depth
        return y

    def backward(self, dy: Array, depth: int, need_dx: bool) -> Array:
        """Fill the gradients of the first ``depth`` layers and return dx; without ``need_dx`` stop early."""
        workspace = self._current
        if workspace is None or self._pending != depth:
            raise RuntimeError(
                "Sequential: backward must follow forward(x, training=True), one backward for each; "
                "the last call on this model was something else (model(x) is inference)"
            )
        layers, gradients = self._layers, workspace.gradients
        stop = 0 if need_dx else self._first_learning
        if (depth, stop) not in self._backward_units:
            self._plan(depth, stop)
        index = depth
        try:
            for unit in self._backward_units[depth, stop]:
                index, slope = unit[0], self._slope(unit)
                if slope is not None:
                    relu = unit[1]
                    dy = layers[index].backward(dy, negative_slope=slope, out=gradients[relu])
                    layers[relu]._saved = None
                    continue
                for index in unit:
                    if not self._managed[index]:
                        dy = layers[index].backward(dy)
                        flat_arrays.adopt(layers[index].grads, self._views[index][1])
                    elif index == stop and not need_dx and self._skips_dx[index]:
                        layers[index].backward(dy, need_dx=False)
                    else:
                        dy = layers[index].backward(dy, out=gradients[index])
        except (ValueError, TypeError, IndexError) as error:
            self._raise_with_layer(error, index)
        self._pending = None
        return dy if self._managed[0] or not need_dx else np.array(dy, order="C")

    def training_input(self, index: int) -> Array | None:
        """Return what layer ``index`` got in the last training forward, readable until the next one."""
        if self._current is None:
            return None
        return self._current.x if index == 0 else self._current.results[index - 1]

    def _new_workspace(self, shape: Shape) -> _TrainingWorkspace:
        """Allocate the buffers for training on batches of ``shape``."""
        workspace = _TrainingWorkspace(self._shapes(shape), self._dtype)
        if len(self._workspaces) >= _SHAPES_KEPT:
            self._workspaces.pop(next(iter(self._workspaces)))
        self._workspaces[shape] = workspace
        return workspace

    # --- layers one by one ---

    def _shapes(self, x_shape: Shape) -> list[Shape | None]:
        """Return each layer's output shape; None from the first layer on that does not say its own."""
        shapes: list[Shape | None] = []
        shape: Shape | None = x_shape
        for index, layer in enumerate(self._layers):
            try:
                if not self._managed[index]:
                    shape = None
                elif shape is not None and not self._keeps_shape[index]:
                    shape = layer.output_shape(shape)
            except (ValueError, TypeError, IndexError) as error:
                self._raise_with_layer(error, index)
            shapes.append(shape)
        return shapes

    def _plain(self, index: int, x: Array, training: bool) -> Array:
        """Run a user's layer and check what it returns."""
        layer, params = self._layers[index], self._views[index][0]
        if params:
            flat_arrays.adopt(layer.params, params)
        y = layer.forward(x, training=training)
        if not isinstance(y, np.ndarray) or y.dtype != self._dtype:
            came = y.dtype if isinstance(y, np.ndarray) else type(y).__name__
            raise TypeError(f"forward returned {came}, expected a {self._dtype} array")
        return y

    def _raise_with_layer(self, error: Exception, index: int) -> NoReturn:
        """Raise ``error`` again, its message closed by the layer's number and repr."""
        context = f"(layer {index}, {self._layers[index]!r})"
        if type(error) in (ValueError, TypeError, IndexError):
            error.args = (f"{error} {context}",)
        else:
            error.add_note(context)
        raise error


def _taking_turns(shapes: list[Shape | None], dtype: np.dtype[Any]) -> tuple[list[Array | None], int]:
    """Return a buffer per shape, up to two places apart never in the same memory, and the bytes allocated."""
    sizes = [0 if shape is None else math.prod(shape) for shape in shapes]
    memory = [empty((max(sizes[turn::3], default=0),), dtype) for turn in range(3)]
    buffers = [
        None if shape is None else memory[i % 3][: sizes[i]].reshape(shape) for i, shape in enumerate(shapes)
    ]
    return buffers, sum(block.nbytes for block in memory)


class _TrainingWorkspace:
    """Outputs of all layers and gradients of their inputs, for one batch shape.

    Attributes
    ----------
    x : ndarray or None
        The batch of the last training forward: the caller's array.
    outputs, gradients : list of ndarray or None
        Output of layer i, gradient of the input of layer i; None where the layer's own result is taken as it
        comes.
    results : list of ndarray or None
        What the layers returned in the last training forward: the outputs, or a layer's own arrays; for a layer
        that did the work of the ReLU after it, that ReLU's output.
    """

    __slots__ = ("_output_gradient", "gradients", "outputs", "results", "x")

    def __init__(self, shapes: list[Shape | None], dtype: np.dtype[Any]) -> None:
        self.x: Array | None = None
        self.outputs = [None if shape is None else empty(shape, dtype) for shape in shapes]
        self.results = list(self.outputs)
        # The gradient of the model's own input is asked for by backward alone, which returns a new array.
        self.gradients, _ = _taking_turns([None, *shapes[:-1]], dtype)
        self._output_gradient: Array | None = None

    def output_gradient(self, y: Array) -> Array:
        """Return the buffer that the loss of outputs ``y`` fills; made when it is first needed."""
        buffer = self._output_gradient
        if buffer is None or buffer.shape != y.shape:
            buffer = self._output_gradient = empty(y.shape, y.dtype)
        return buffer


class _InferencePool:
    """Inference buffers by batch shape: one set for each inference that runs at the same time."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Shape, list[dict[int, Array | None]]] = {}

    def take(self, x_shape: Shape) -> dict[int, Array | None] | None:
        """Return a free set for batches of ``x_shape``, or None."""
        try:
            return self._free[x_shape].pop()
        except (KeyError, IndexError):
            return None

    def give(self, x_shape: Shape, buffers: dict[int, Array | None]) -> None:
        """Take back a set that is no longer in use."""
        free = self._free.get(x_shape)
        if free is None:
            if len(self._free) >= _SHAPES_KEPT:
                self._free.clear()
            free = self._free.setdefault(x_shape, [])
        free.append(buffers)
