"""The same step with other activations, and with classic mistakes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from relu_layers._support.configured import Array, Ops
from relu_layers._training.examples import Examples
from relu_layers.explanation.record import Observed
from relu_layers.explanation.trace import Mistake, Variant
from relu_layers.layers import ReLU, Threshold
from relu_layers.losses import SoftmaxCrossEntropy
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer

SLOPES = (0.0, 0.01, 0.1, 1.0)
# e of f(x) = max(e, x), which is sometimes proposed against dead units.
FLOOR = 0.01
# A slope that shows the mistake that needs a negative one, where the net has none.
NEGATIVE_SLOPE = -0.1
# Added to the logits to show a softmax without the row's maximum.
SHIFT = 1000.0


def variants(model: Sequential, loss: Any, optimizer: Optimizer, given: Examples) -> list[Variant]:
    """Return the step with every ReLU's slope changed, and with every ReLU as max(e, x); none without ReLU."""
    if not any(type(layer) is ReLU for layer in model.layers):
        return []
    makers: dict[str, Callable[[], Any]] = {f"slope {slope:g}": partial(ReLU, slope) for slope in SLOPES}
    makers[f"max({FLOOR:g}, x)"] = partial(Threshold, FLOOR, FLOOR)
    return [_variant(label, make, model, loss, optimizer, given) for label, make in makers.items()]


def _with_activation(model: Sequential, make: Callable[[], Any]) -> Sequential:
    layers = [make() if type(one) is ReLU else copy.deepcopy(one) for one in model.layers]
    twin = Sequential(*layers, dtype=model.dtype, rng=0, ops=model.ops)
    twin.load_params(model.params)
    return twin


def _variant(
    label: str, make: Callable[[], Any], model: Sequential, loss: Any, optimizer: Optimizer, given: Examples
) -> Variant:
    observed = Observed(_with_activation(model, make), loss, optimizer)
    value = observed.step(given)
    trainer = observed.trainer
    norms = {key: float(np.linalg.norm(gradient)) for key, gradient in trainer.model.grads.items()}
    dead = 0
    for index, (_, y) in observed.forwards.items():
        if type(trainer.model.layers[index]) in (ReLU, Threshold):
            derivative = observed.recorders[index].local_derivative(y.shape)
            dead += 0 if derivative is None else int(np.sum(np.all(derivative == 0.0, axis=0)))
    after = trainer.evaluate(given.x, given.y, given.sample_weight)["loss"]
    return Variant(label, value, after, norms, dead)


def mistakes(
    model: Sequential, loss: Any, optimizer: Optimizer, given: Examples, output: Array
) -> list[Mistake]:
    """Return the effect of classic mistakes on the gradients of this net, which gives ``output`` on these rows."""
    right = _gradients(model, loss, optimizer, given, {})
    ops = model.ops
    found = []
    relus = [layer for layer in model.layers if type(layer) is ReLU]
    if relus:
        wrong = _gradients(model, loss, optimizer, given, {"relu_backward": _not_below_zero(ops)})
        found.append(_compared("output_mask", right, wrong))
        found.append(_negative_slope(model, loss, optimizer, given, right, relus))
    count = len(given.x)
    if getattr(loss, "normalization", "none") != "none" and count > 1:
        summed = copy.deepcopy(loss)
        summed.normalization = "none"
        wrong = _gradients(model, summed, optimizer, given, {})
        found.append(_compared("no_division", right, wrong, {"rows": count}))
    if isinstance(loss, SoftmaxCrossEntropy):
        found.append(_naive_softmax(model, output))
    found.append(_wrong_transpose(model, loss, optimizer, given, right, ops))
    return found


def _gradients(
    model: Sequential, loss: Any, optimizer: Optimizer, given: Examples, replaced: dict[str, Any]
) -> dict[str, Array]:
    observed = Observed(model, loss, optimizer, replaced)
    observed.step(given)
    return dict(observed.trainer.model.grads)


def _compared(
    key: str, right: dict[str, Array], wrong: dict[str, Array], numbers: dict[str, Any] | None = None
) -> Mistake:
    """Return how far ``wrong`` gradients are off, and where most."""
    most = -1.0
    place: tuple[str, tuple[int, ...]] = "", ()
    for name, gradient in right.items():
        if gradient.size:
            error = np.abs(wrong[name] - gradient)
            index = tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
            if error[index] > most:
                most, place = float(error[index]), (name, index)
    name, index = place
    largest = max((float(np.abs(gradient).max(initial=0.0)) for gradient in right.values()), default=0.0)
    if not name:
        return Mistake(key, 0.0, 0.0, numbers=numbers or {})
    return Mistake(
        key,
        most,
        most / largest if largest else 0.0,
        f"{name}[{','.join(map(str, index))}]",
        float(right[name][index]),
        float(wrong[name][index]),
        numbers=numbers or {},
    )


def _not_below_zero(ops: Ops) -> Callable[..., Array]:
    """ReLU's backward with the mask ``output >= 0``: with slope 0 no output is below 0, so nothing stops."""

    def relu_backward(x: Array, dy: Array, negative_slope: float = 0.0, *, out: Array | None = None) -> Array:
        y = ops.relu_forward(x, negative_slope)
        return _put(np.where(y >= 0, dy, dy.dtype.type(negative_slope) * dy), out)

    return relu_backward


def _positive_output(ops: Ops) -> Callable[..., Array]:
    """ReLU's backward with the mask ``output > 0``: wrong where a negative slope makes outputs positive."""

    def relu_backward(x: Array, dy: Array, negative_slope: float = 0.0, *, out: Array | None = None) -> Array:
        y = ops.relu_forward(x, negative_slope)
        return _put(np.where(y > 0, dy, dy.dtype.type(negative_slope) * dy), out)

    return relu_backward


def _put(result: Array, out: Array | None) -> Array:
    if out is None:
        return result
    np.copyto(out, result)
    return out


def _negative_slope(
    model: Sequential,
    loss: Any,
    optimizer: Optimizer,
    given: Examples,
    right: dict[str, Array],
    relus: list[ReLU],
) -> Mistake:
    slope = min(layer.negative_slope for layer in relus)
    if slope >= 0.0:
        slope = NEGATIVE_SLOPE
        model = _with_activation(model, lambda: ReLU(NEGATIVE_SLOPE))
        right = _gradients(model, loss, optimizer, given, {})
    wrong = _gradients(model, loss, optimizer, given, {"relu_backward": _positive_output(model.ops)})
    return _compared("negative_slope", right, wrong, {"slope": slope})


def _naive_softmax(model: Sequential, logits: Array) -> Mistake:
    """exp(z) / sum(exp(z)) as it stands, on these logits and on the same plus `SHIFT`, which changes nothing."""
    right = model.ops.softmax_forward(logits, -1)
    with np.errstate(all="ignore"):
        here, shifted = (
            np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
            for z in (logits, logits + logits.dtype.type(SHIFT))
        )
    error = float(np.abs(here - right).max())
    return Mistake(
        "no_maximum",
        error,
        error,
        numbers={"shift": SHIFT, "broken": int(np.isnan(shifted).sum()), "values": int(shifted.size)},
    )


def _wrong_transpose(
    model: Sequential, loss: Any, optimizer: Optimizer, given: Examples, right: dict[str, Array], ops: Ops
) -> Mistake:
    """dW = dy^T x instead of x^T dy: another shape unless W is square; "repaired" by a reshape."""
    failure = ""

    def dense_backward(
        x: Array,
        weight: Array,
        dy: Array,
        *,
        need_dx: bool = True,
        out: tuple[Array | None, Array | None, Array | None] | None = None,
    ) -> Any:
        nonlocal failure
        dx, dweight, dbias = ops.dense_backward(x, weight, dy, need_dx=need_dx, out=out)
        inputs, outputs = weight.shape
        if inputs != outputs:
            failure = f"({outputs}, {inputs}) != ({inputs}, {outputs})"
        np.copyto(dweight, dweight.T.copy().reshape(weight.shape))
        return dx, dweight, dbias

    wrong = _gradients(model, loss, optimizer, given, {"dense_backward": dense_backward})
    found = _compared("transpose", right, wrong)
    return Mistake(
        found.key, found.error, found.relative, found.where, found.right, found.wrong, failure=failure
    )
