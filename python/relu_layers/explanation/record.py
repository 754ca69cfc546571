"""One training step, run on a copy of the model with a recording ops namespace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from relu_layers._support.configured import Array, Ops
from relu_layers._training.examples import Examples
from relu_layers.explanation.own import found
from relu_layers.explanation.recorder import Recorder
from relu_layers.explanation.trace import Counts, LayerTrace, LossTrace, Trace, Update
from relu_layers.gradient_check.entries import shown
from relu_layers.layers import Dense, Layer
from relu_layers.losses import Huber, Loss, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer
from relu_layers.runtime import __version__, target
from relu_layers.trainer import Trainer


class Observed:
    """A copy of a model, loss and optimizer that train together, with everything noted.

    Attributes
    ----------
    trainer : Trainer
    recorders : list of Recorder
        One per layer.
    forwards, backwards : dict
        Layer index -> (x, y) and (dy, dx) of its last call.
    """

    def __init__(
        self,
        model: Sequential,
        loss: Any,
        optimizer: Optimizer,
        replaced: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        base: Ops = model.ops
        twin = copy.deepcopy(model)
        twin.ops = Recorder(base, replaced)
        self.recorders = [Recorder(base, replaced) for _ in twin.layers]
        self.forwards: dict[int, tuple[Array, Array]] = {}
        self.backwards: dict[int, tuple[Array, Array | None]] = {}
        for index, layer in enumerate(twin.layers):
            if isinstance(layer, Layer):
                layer.ops = self.recorders[index]
            _note(layer, "forward", index, self.forwards)
            _note(layer, "backward", index, self.backwards)
        self.trainer = Trainer(twin, copy.deepcopy(loss), copy.deepcopy(optimizer), capture=False)

    def step(self, given: Examples) -> float:
        """Run one training step and return its loss."""
        return self.trainer.step(*given)


def _note(layer: Any, method: str, index: int, notes: dict[int, Any]) -> None:
    """Let a method of this one layer note its argument and its result."""
    if not hasattr(layer, "__dict__"):
        raise TypeError(
            f"explain: layer {index}, {layer!r}, has __slots__ only; give it a __dict__ to be watched"
        )
    inner = getattr(layer, method)

    @wraps(inner)
    def noting(given: Array, *args: Any, **kwargs: Any) -> Any:
        came = given.copy()
        result = inner(given, *args, **kwargs)
        notes[index] = came, None if result is None else result.copy()
        return result

    layer.__dict__[method] = noting


def record(
    model: Sequential, loss: Any, optimizer: Optimizer, given: Examples, *, seed: int | None, title: str
) -> Trace:
    """Return the trace of one training step; the model and the optimizer stay as they are."""
    observed = Observed(model, loss, optimizer)
    trainer = observed.trainer
    before = {key: value.copy() for key, value in trainer.model.params.items()}
    rate = trainer.optimizer.learning_rate_now
    value = observed.step(given)
    grads = {key: gradient.copy() for key, gradient in trainer.model.grads.items()}
    layers = _layers(observed, before, grads)
    symbols = {one.key(name): _symbol(one, name) for one in layers for name in one.params}
    updates = [
        Update(
            key,
            symbols.get(key, key),
            before[key],
            grads[key],
            value_after.copy(),
            float(np.linalg.norm(grads[key])),
            _ratio(before[key], value_after),
        )
        for key, value_after in trainer.model.params.items()
    ]
    after = trainer.evaluate(given.x, given.y, given.sample_weight)["loss"]
    last = model.layers[-1]
    return Trace(
        version=__version__,
        target=target(),
        dtype=str(model.dtype),
        seed=seed,
        title=title,
        layers=layers,
        loss=_loss(trainer, given, layers[-1], value, after),
        optimizer=repr(optimizer),
        optimizer_kind=type(optimizer).__name__,
        learning_rate=rate,
        optimizer_config=optimizer.config(),
        updates=updates,
        dropped=repr(last) if len(layers) < len(model.layers) else "",
    )


def _symbol(layer: LayerTrace, name: str) -> str:
    known = {"weight": layer.weight_symbol, "bias": layer.bias_symbol}
    if layer.role == "other":
        return f"{name}({layer.index})"
    return known.get(name, f"{name}{layer.number}") if layer.role == "dense" else f"{name}{layer.number}"


def _called(arrays: dict[str, Array], keys: dict[str, str]) -> dict[str, Array]:
    """Return a layer's arrays by the names that the story uses."""
    names = {own: name for name, own in keys.items()}
    return {names.get(name, name): array for name, array in arrays.items()}


def _ratio(before: Array, after: Array) -> float:
    norm = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / norm if norm else float("nan")


def _layers(observed: Observed, params: dict[str, Array], grads: dict[str, Array]) -> list[LayerTrace]:
    layers: list[LayerTrace] = []
    number, source = 0, "x"
    for index in sorted(observed.forwards):
        layer = observed.trainer.model.layers[index]
        x, y = observed.forwards[index]
        # A layer before the first with parameters is not asked for its gradient.
        dy, dx = observed.backwards.get(index, (np.full_like(y, np.nan), None))
        prefix = f"{index}."
        own_params = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        own_grads = {k.removeprefix(prefix): v for k, v in grads.items() if k.startswith(prefix)}
        derivative = observed.recorders[index].local_derivative(y.shape) if x.shape == y.shape else None
        role = "dense" if isinstance(layer, Dense) else "other" if derivative is None else "elementwise"
        kind, keys = type(layer).__name__, {}
        config = layer.config() if isinstance(layer, Layer) else {}
        own = found(layer, x, y, dy, dx, own_params)
        if own is not None:
            role, kind, keys, derivative, config = own.role, own.kind, own.keys, own.derivative, own.config
        dense = role == "dense"
        number += dense
        symbol = f"z{number}" if dense else f"a{number}"
        while any(one.symbol == symbol for one in layers):
            symbol += "'"
        layers.append(
            LayerTrace(
                index=index,
                kind=kind,
                name=shown(layer),
                role=role,
                source=source,
                symbol=symbol,
                number=number,
                x=x,
                y=y,
                dy=dy,
                dx=dx,
                params=_called(own_params, keys),
                grads=_called(own_grads, keys),
                derivative=derivative,
                counts=None if derivative is None else _counts(x, derivative),
                config=config,
                keys=keys,
            )
        )
        source = symbol
    return layers


def _counts(x: Array, derivative: Array) -> Counts:
    dead = np.all(derivative == 0.0, axis=0)
    return Counts(int(np.sum(x > 0)), int(np.sum(x < 0)), int(np.sum(x == 0)), int(np.sum(dead)))


def _loss(trainer: Trainer, given: Examples, last: LayerTrace, value: float, after: float) -> LossTrace:
    loss, output = trainer.loss, last.y
    normalization = getattr(loss, "normalization", "")
    rows, total = len(output), output.size
    if isinstance(loss, SoftmaxCrossEntropy):
        rows = total // output.shape[loss.axis]
    counts = {"none": 1, "batch_size": len(output), "full": total, "valid": total}
    if isinstance(loss, SoftmaxCrossEntropy):
        counts = {"none": 1, "batch_size": rows, "full": rows, "valid": rows}
    general: dict[str, Any] = {
        "kind": type(loss).__name__ if isinstance(loss, Loss) else getattr(loss, "__name__", repr(loss)),
        "name": repr(loss),
        "value": value,
        "after": after,
        "output": output,
        "target": given.y,
        "gradient": last.dy,
        "count": float(counts.get(normalization, 1)),
        "plain": given.sample_weight is None,
    }
    if isinstance(loss, SquaredError):
        return LossTrace(**general, scale=loss.scale)
    if isinstance(loss, Huber):
        return LossTrace(**general, delta=loss.delta)
    if not isinstance(loss, SoftmaxCrossEntropy) or output.ndim != 2 or loss.axis not in (-1, 1):
        return LossTrace(**general)
    shifted = output - output.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    wanted = given.y
    plain = general.pop("plain") and loss.class_weight is None and not loss.label_smoothing
    if wanted.dtype.kind in "iu":
        wanted = np.zeros_like(output)
        ignored = given.y == loss.ignore_label if loss.ignore_label is not None else np.zeros(rows, bool)
        plain = plain and not ignored.any()
        kept = np.flatnonzero(~ignored)
        wanted[kept, given.y[kept]] = 1
    return LossTrace(
        **general,
        plain=plain,
        shifted=shifted,
        exponentials=exponentials,
        sums=sums,
        probabilities=trainer.model.ops.softmax_forward(output, -1),
        wanted=wanted,
        rows=np.sum(wanted * (np.log(sums) - shifted), axis=1),
    )
