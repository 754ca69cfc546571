"""The error of a training whose loss is not finite, and the place where the trouble began."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_layers._support.configured import Array


class DivergenceError(ArithmeticError):
    """The loss of a minibatch (or the gradient norm that is clipped) is infinite or NaN.

    It is raised before the update, so the parameters are those of the step before. The message names epoch
    and batch, the first layer with a value that is not finite, and the learning rate.
    """


def divergence(
    model: Any,
    depth: int,
    batch: tuple[Any, ...],
    outputs: Array | None,
    what: str,
    value: float,
    where: str,
    rate: float,
) -> DivergenceError:
    """Return the error for ``what`` being ``value`` in the pass over ``batch`` that has just run.

    The batch is x, and y and the weights where the loss came from them; x and the outputs are None where the passes
    were those of several ranks. ``depth`` is the number of layers before the loss, ``where`` names the step, ``rate``
    is the learning rate.
    """
    return DivergenceError(
        f"training diverged in {where}: {what} is {value}; {_cause(model, depth, batch, outputs)}; "
        f"the learning rate is {rate:g}. "
        "The parameters are as before this step: a lower rate, clip_norm or cleaner data may help"
    )


def _named(y: Any = None, sample_weight: Any = None) -> list[tuple[str, Any]]:
    """Return what the loss compared with, by name."""
    parts = [("y", y)] if not isinstance(y, tuple) else [(f"y[{i}]", part) for i, part in enumerate(y)]
    return [*parts, ("sample_weight", sample_weight)]


def _cause(model: Any, depth: int, batch: tuple[Any, ...], outputs: Array | None) -> str:
    """Name the first array of the forward pass that has an infinity or NaN."""
    x, *targets = batch
    if x is None:
        return "the losses of all minibatches are finite, so a gradient or their sum overflowed"
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        return f"row {row} of the batch itself is not finite"
    for name, given in _named(*targets):
        if isinstance(given, np.ndarray) and given.dtype.kind == "f" and not np.isfinite(given).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(given))[0])
            return f"{name}[{', '.join(map(str, at))}] of the batch is {given[at]:g}"
    for index in range(depth):
        output = outputs if index == depth - 1 else model._passes.training_input(index + 1)
        if output is not None and not np.isfinite(output).all():
            named = f"layer {index}, {model.layers[index]!r}"
            own = [
                k for k, v in model.params.items() if k.startswith(f"{index}.") and not np.isfinite(v).all()
            ]
            also = f" (so is its parameter {own[0]})" if own else ""
            return f"the output of {named} is the first that is not finite{also}"
    return "the outputs of all layers are finite, so the loss or its gradient overflowed"
