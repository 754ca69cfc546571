"""Running the layers of a model: inference, and forward and backward of training."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from relu_layers._engine import flat_arrays
from relu_layers._engine.workspace import (
    BYTES_KEPT,
    SHAPES_KEPT,
    InferencePool,
    Shape,
    TrainingWorkspace,
    taking_turns,
)
from relu_layers._support.configured import Array
from relu_layers.layers import Layer
from relu_layers.layers.mapping import checked_value


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
        self._pool = InferencePool()
        self._workspaces: dict[Shape, TrainingWorkspace] = {}
        self._current: TrainingWorkspace | None = None
        # Depth of the training forward that waits for its backward.
        self._pending: int | None = None

    def first(self, depth: int) -> Passes:
        """Return the passes of the first ``depth`` layers alone, with buffers of their own."""
        if depth == len(self._layers):
            return self
        return Passes(self._layers[:depth], self._views[:depth], self._dtype)

    def infer(self, x: Array, out: Array | None) -> Array:
        """Return y in ``out`` or in a new array, computed in buffers of this call's own."""
        self._pending = None
        buffers, size = self._pool.take(x.shape), 0
        if buffers is None:
            buffers, size = self._inference_buffers(x)
        y = self._infer_in(buffers, x, out)
        if size <= BYTES_KEPT:
            self._pool.give(x.shape, buffers)
        return y

    def infer_apart(self, x: Array, out: Array) -> bool:
        """Compute y in buffers that nothing else uses from now on; False where they would be too large."""
        buffers, size = self._inference_buffers(x)
        if size <= BYTES_KEPT:
            self._infer_in(buffers, x, out)
        return size <= BYTES_KEPT

    def _inference_buffers(self, x: Array) -> tuple[list[Array | None], int]:
        shapes = self._shapes(x.shape)
        return taking_turns([shapes[i] for i in self.inference_steps[:-1]], self._dtype)

    def _infer_in(self, buffers: list[Array | None], x: Array, out: Array | None) -> Array:
        steps, layers, managed = self.inference_steps, self._layers, self._managed
        y, target, index = x, out, 0
        place, last = 0, len(steps) - 1
        try:
            while place <= last:
                index = steps[place]
                slope = self._slope_after(index, steps[place + 1] if place < last else None)
                if slope is not None:
                    place += 1
                buffer = buffers[place] if place < last else out
                if not managed[index]:
                    y = self._plain(index, y, False)
                elif slope is None:
                    y = layers[index].forward(y, False, out=buffer)
                else:
                    y = layers[index].forward(y, False, negative_slope=slope, out=buffer)
                place += 1
            if steps and managed[steps[last]]:
                target = y
        except (ValueError, TypeError, IndexError) as error:
            self._raise_with_layer(error, index)
        if target is None:
            y = np.array(y, order="C")
        elif target is not y:
            np.copyto(checked_value("out", "y", target, y), y)
            y = target
        return y

    def forward(self, x: Array, depth: int) -> Array:
        """Run the first ``depth`` layers for training; return a workspace buffer (x itself for depth 0)."""
        self._pending = None
        workspace = self._workspaces.get(x.shape) or self._new_workspace(x.shape)
        layers, managed, outputs = self._layers, self._managed, workspace.outputs
        workspace.x = y = x
        results = workspace.results
        index = 0
        try:
            while index < depth:
                slope = self._slope_after(index, index + 1 if index + 1 < depth else None)
                if slope is not None:
                    # What the ReLU would have got is never stored: y tells its sign.
                    y = layers[index].forward(y, True, negative_slope=slope, out=outputs[index + 1])
                    results[index] = y
                    index += 1
                    layers[index].note_output(y)
                elif managed[index]:
                    y = layers[index].forward(y, True, out=outputs[index])
                else:
                    y = self._plain(index, y, True)
                results[index] = y
                index += 1
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
        layers, managed, gradients = self._layers, self._managed, workspace.gradients
        stop = 0 if need_dx else self._first_learning
        index = depth
        try:
            while index > stop:
                index -= 1
                slope = self._slope_before(index) if index > stop else None
                if not managed[index]:
                    dy = layers[index].backward(dy)
                    flat_arrays.adopt(layers[index].grads, self._views[index][1])
                elif index == stop and not need_dx and self._skips_dx[index]:
                    layers[index].backward(dy, need_dx=False)
                elif slope is not None:
                    dy = layers[index].backward(dy, negative_slope=slope, out=gradients[index - 1])
                    index -= 1
                    layers[index].forget()
                else:
                    dy = layers[index].backward(dy, out=gradients[index])
        except (ValueError, TypeError, IndexError) as error:
            self._raise_with_layer(error, index)
        self._pending = None
        return dy if managed[0] or not need_dx else np.array(dy, order="C")

    def _slope_after(self, index: int, after: int | None) -> float | None:
        """Return the slope of the ReLU at ``after`` if layer ``index`` can do its work in forward."""
        if after is None or not (self._fuses[index] and self._fusible[after] and self._ops_fuse(index)):
            return None
        slope: float | None = self._layers[after].fusible_slope()
        return slope

    def _slope_before(self, index: int) -> float | None:
        """Return the slope of the ReLU before layer ``index`` if that can do the ReLU's work in backward."""
        if index == 0 or not (self._fuses[index] and self._fusible[index - 1] and self._ops_fuse(index)):
            return None
        slope: float | None = self._layers[index - 1].fusible_slope()
        return slope

    def _ops_fuse(self, index: int) -> bool:
        return getattr(self._layers[index].ops, "FUSES_RELU", False) is True

    def training_input(self, index: int) -> Array | None:
        """Return what layer ``index`` got in the last training forward, readable until the next one."""
        if self._current is None:
            return None
        return self._current.x if index == 0 else self._current.results[index - 1]

    def _new_workspace(self, shape: Shape) -> TrainingWorkspace:
        """Allocate the buffers for training on batches of ``shape``."""
        workspace = TrainingWorkspace(self._shapes(shape), self._dtype)
        if len(self._workspaces) >= SHAPES_KEPT:
            self._workspaces.pop(next(iter(self._workspaces)))
        self._workspaces[shape] = workspace
        return workspace

    def _shapes(self, x_shape: Shape) -> list[Shape | None]:
        """Return each layer's output shape; None from the first layer on that does not tell its own."""
        shapes: list[Shape | None] = []
        shape: Shape | None = x_shape
        for index, layer in enumerate(self._layers):
            try:
                shape = layer.output_shape(shape) if shape is not None and self._managed[index] else None
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
