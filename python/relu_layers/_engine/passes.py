"""Passes: running the layers of a model with the buffers between them, at inference and in training."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

import numpy as np

from relu_layers._engine import flat_arrays
from relu_layers._engine.buffers import SHAPES_KEPT, InferencePool, Shape, TrainingWorkspace, taking_turns
from relu_layers._support.configured import Array
from relu_layers.layers import BUILT_IN, Layer, ReLU
from relu_layers.layers.mapping import checked_value
from relu_layers.losses import Loss

_FORWARD, _BACKWARD = ReLU.forward, ReLU.backward
# An inference workspace above this size is given back after use: allocating it again costs less than what it
# computes.
_BYTES_KEPT = 64 * 2**20

BUILT_IN_LAYERS = frozenset(BUILT_IN.values())
# Numbers of layers whose parameters stay what they are.
Frozen = frozenset[int]
Units = list[tuple[int, ...]]


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
        self.layers = layers
        self.views = views
        self.dtype = dtype
        # Without those of the layers that a user's layer is made of, which hold theirs themselves.
        self._own_views = [
            (flat_arrays.own_views(p, layer.params), flat_arrays.own_views(g, layer.params))
            for layer, (p, g) in zip(layers, views, strict=True)
        ]
        # A managed layer takes workspace buffers; a user's plain layer returns arrays of its own.
        self.managed = tuple(map(flat_arrays.is_managed, layers))
        self._keeps_shape = tuple(
            isinstance(layer, Layer) and type(layer).output_shape is Layer.output_shape for layer in layers
        )
        self._skips_dx = tuple(flat_arrays.accepts(layer, "backward", "need_dx") for layer in layers)
        # Which layers can do the work of a ReLU beside them, and which of them are such ReLUs.
        self._fuses = tuple(map(flat_arrays.fuses_relu, layers))
        self._fusible = tuple(map(flat_arrays.is_fusible_relu, layers))
        self._skips_gradients = tuple(
            flat_arrays.accepts(layer, "backward", "need_gradients") for layer in layers
        )
        self._adds = tuple(flat_arrays.accepts(layer, "backward", "accumulate") for layer in layers)
        # Backward may stop where no layer before has anything to learn.
        self._learning = tuple(i for i in range(len(layers)) if views[i][0] or not self.managed[i])
        # Layers of a user's keep what backward needs in themselves, so that they serve one pass at a time: which.
        self.keeps_own_state = any(type(layer) not in BUILT_IN_LAYERS for layer in layers)
        self.served: object = None
        # Inference passes by what does nothing outside training.
        self.inference_steps = tuple(
            i
            for i, layer in enumerate(layers)
            if not (isinstance(layer, Layer) and layer.identity_at_inference)
        )
        self._inference_units = self._units(self.inference_steps)
        # By the layers that a training pass runs through, first and last: depth and where it stops.
        self._forward_units: dict[int, Units] = {}
        self._backward_units: dict[tuple[int, int], Units] = {}
        for depth in (len(layers), len(layers) - 1):
            self._plan(depth, self.first_learning())
        self._pool = InferencePool()
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

    def _units(self, order: Sequence[int]) -> Units:
        """Cut an order of layers into units: a layer and the ReLU that comes next, if it can do its work, or one layer.

        In a forward pass the ReLU is the one after the layer, in a backward pass the one before it.
        """
        units: Units = []
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
                    if self.managed[index]:
                        y = layers[index].forward(y, False, out=buffers.get(index, out))
                    else:
                        y = self._plain(index, y, False)
        except (ValueError, TypeError, IndexError) as error:
            flat_arrays.raise_with_layer(error, index, self.layers[index])
        if self.inference_steps and self.managed[self.inference_steps[-1]]:
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
        if not isinstance(dy, np.ndarray) or dy.shape != y.shape or dy.dtype != y.dtype:
            came = f"{dy.dtype} of shape {dy.shape}" if isinstance(dy, np.ndarray) else type(dy).__name__
            raise ValueError(f"{loss!r} returned a gradient {came}, expected {y.dtype} of {y.shape}")
        dx = self.backward(dy, depth, need_dx, frozen)
        return LossAndGradients(value, y, dx if need_dx else None)

    def forward(self, x: Array, depth: int) -> Array:
        """Run the first ``depth`` layers for training; return a workspace buffer (x itself for depth 0)."""
        self._pending = None
        workspace = self._workspaces.get(x.shape) or self._new_workspace(x.shape)
        y = self.forward_in(workspace, self.layers, self.forward_units(depth), x)
        self._current = workspace
        self._pending = depth
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
                    if self.managed[index]:
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

    def forward_units(self, depth: int) -> Units:
        """Return the forward pass through ``depth`` layers, cut into units."""
        if depth not in self._forward_units:
            self._plan(depth, self.first_learning())
        return self._forward_units[depth]

    def backward_units(self, depth: int, stop: int) -> Units:
        """Return the backward pass from ``depth`` layers down to ``stop``, cut into units."""
        if (depth, stop) not in self._backward_units:
            self._plan(depth, stop)
        return self._backward_units[depth, stop]

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
            units = self.backward_units(depth, stop)
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
                    kept = self._to_add(index) if accumulate and not self._adds[index] else {}
                    if not self.managed[index]:
                        dy = layers[index].backward(dy)
                        flat_arrays.adopt(layers[index].grads, self._own_views[index][1])
                    elif index == stop and not need_dx and self._skips_dx[index]:
                        layers[index].backward(dy, need_dx=False, **wanted)
                    else:
                        dy = layers[index].backward(dy, **wanted, out=gradients[index])
                    for name, values in kept.items():
                        self.views[index][1][name] += values
        except (ValueError, TypeError, IndexError) as error:
            flat_arrays.raise_with_layer(error, index, self.layers[index])
        return dy if not need_dx or (units and self.managed[units[-1][-1]]) else np.array(dy, order="C")

    def _wanted(self, index: int, frozen: Frozen, accumulate: bool) -> dict[str, bool]:
        """Return the keywords that say what a layer's backward has to do with its gradients."""
        if index in frozen and self._skips_gradients[index]:
            return {"need_gradients": False}
        return {"accumulate": True} if accumulate and self._adds[index] else {}

    def _to_add(self, index: int) -> dict[str, Array]:
        """Return copies of the gradients of a layer whose backward overwrites them."""
        return {name: view.copy() for name, view in self.views[index][1].items()}

    def training_input(self, index: int) -> Array | None:
        """Return what layer ``index`` got in the last training forward, readable until the next one."""
        if self._current is None:
            return None
        return self._current.x if index == 0 else self._current.results[index - 1]

    def workspace(self, shape: Shape, whole: bool = False) -> TrainingWorkspace:
        """Return new buffers for training on batches of ``shape``."""
        return TrainingWorkspace(self._shapes(shape), self.dtype, whole)

    def _new_workspace(self, shape: Shape) -> TrainingWorkspace:
        """Make the buffers that serve all training on batches of ``shape``."""
        workspace = self.workspace(shape)
        if len(self._workspaces) >= SHAPES_KEPT:
            self._workspaces.pop(next(iter(self._workspaces)))
        self._workspaces[shape] = workspace
        return workspace

    # --- layers one by one ---

    def _shapes(self, x_shape: Shape) -> list[Shape | None]:
        """Return each layer's output shape; None from the first layer on that does not say its own."""
        shapes: list[Shape | None] = []
        shape: Shape | None = x_shape
        for index, layer in enumerate(self.layers):
            try:
                if not self.managed[index]:
                    shape = None
                elif shape is not None and not self._keeps_shape[index]:
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
