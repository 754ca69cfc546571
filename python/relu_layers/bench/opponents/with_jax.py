"""JAX: every op and step one jitted function, an epoch one ``lax.scan``, buffers donated where replaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Array, Data, checked
from relu_layers.bench.opponents.base import Runner, as_numpy, blocks, timed


class Jax:
    """JAX on the CPU; its threads were set by the environment before it was imported."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # Small functions run in the calling thread instead of being handed to another.
        jax.config.update("jax_cpu_enable_async_dispatch", False)

    def versions(self) -> dict[str, str]:
        """Return version and devices."""
        return {"jax": jax.__version__, "device": str(jax.devices()[0].platform)}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return one op, or the step, the inference or the fit of a network, compiled."""
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        if case.section == "ops":
            return _updates(case, data) if case.family == "update" else _op(case, data)
        weights = [(jnp.array(weight), jnp.array(bias)) for weight, bias in data.weights]
        rotation = _on_device(data)
        if case.section == "inference":
            # Weights are captured as constants, so that the compiler may lay them out as it likes.
            infer = jax.jit(lambda x: _forward(weights, x))
            return Runner(
                lambda: as_numpy(*(infer(*each) for each in checked(rotation))),
                blocks(infer, rotation, jax.block_until_ready),
            )
        state = _initial(case, weights)
        step = partial(_step, case)
        return (
            _training(step, state, rotation)
            if case.section == "training"
            else _fit(case, step, state, rotation[0])
        )


def _on_device(data: Data) -> list[tuple[Any, ...]]:
    return [
        tuple(jnp.array(array.astype(np.int32) if array.dtype.kind == "i" else array) for array in each)
        for each in data.rotation
    ]


def _forward(weights: Any, x: Any) -> Any:
    *hidden, (weight, bias) = weights
    for inner, offset in hidden:
        x = jax.nn.relu(x @ inner + offset)
    return x @ weight + bias


def _loss(case: Case, weights: Any, x: Any, y: Any) -> Any:
    z = _forward(weights, x)
    return 0.5 * jnp.mean((z - y) ** 2) if case.regression else _cross_entropy(z, y)


def _cross_entropy(z: Any, labels: Any) -> Any:
    # A comparison fuses with its neighbours, which a gather by label does not.
    chosen = labels[:, None] == jnp.arange(z.shape[1], dtype=labels.dtype)
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.sum(jnp.where(chosen, z, 0), axis=1))


def _initial(case: Case, weights: Any) -> Any:
    """Return weights, the optimizer's trees, and the number of updates."""
    zeros = jax.tree.map(jnp.zeros_like, weights)
    slots = {"sgd": 0, "momentum": 1, "adam": 2}[case.optimizer]
    return (weights, *(jax.tree.map(jnp.copy, zeros) for _ in range(slots)), jnp.zeros((), jnp.int32))


def _step(case: Case, state: Any, x: Any, y: Any) -> Any:
    weights, *slots, done = state
    loss, gradient = jax.value_and_grad(partial(_loss, case))(weights, x, y)
    done = done + 1
    if case.optimizer == "adam":
        weights, slots = _adam(weights, gradient, slots, done)
    elif case.optimizer == "momentum":
        slots = [jax.tree.map(lambda v, g: cases.MOMENTUM * v + cases.LEARNING_RATE * g, slots[0], gradient)]
        weights = jax.tree.map(jnp.subtract, weights, slots[0])
    else:
        weights = jax.tree.map(lambda w, g: w - cases.LEARNING_RATE * g, weights, gradient)
    return (weights, *slots, done), loss


def _adam(weights: Any, gradient: Any, slots: Any, done: Any) -> tuple[Any, list[Any]]:
    beta1, beta2 = cases.BETA1, cases.BETA2
    mean = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, slots[0], gradient)
    square = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, slots[1], gradient)
    dtype = jax.tree.leaves(weights)[0].dtype
    step = done.astype(dtype)
    root = jnp.sqrt(1 - jnp.power(jnp.asarray(beta2, dtype), step))
    factor = cases.LEARNING_RATE * root / (1 - jnp.power(jnp.asarray(beta1, dtype), step))
    epsilon = cases.EPSILON * root
    weights = jax.tree.map(lambda w, m, v: w - factor * m / (jnp.sqrt(v) + epsilon), weights, mean, square)
    return weights, [mean, square]


def _flat(state: Any) -> Array:
    return np.concatenate([np.asarray(array).reshape(-1) for layer in state[0] for array in layer])


def _training(step: Callable[..., Any], state: Any, rotation: list[tuple[Any, ...]]) -> Runner:
    compiled = jax.jit(step, donate_argnums=0)
    held = [state]

    def call(x: Any, y: Any) -> Any:
        held[0], loss = compiled(held[0], x, y)
        return loss

    def outcome() -> list[Array]:
        losses = [float(call(*each)) for each in checked(rotation)]
        return as_numpy(losses, _flat(held[0]))

    return Runner(outcome, blocks(call, rotation, lambda _: jax.block_until_ready(held[0])))


def _fit(case: Case, step: Callable[..., Any], state: Any, arrays: tuple[Any, ...]) -> Runner:
    rng = np.random.default_rng()
    held = [state]

    def epoch(state: Any, x: Any, y: Any, order: Any) -> Any:
        return lax.scan(lambda state, rows: step(state, x[rows], y[rows]), state, order)

    compiled = jax.jit(epoch, donate_argnums=0)

    def run(order: Array) -> None:
        held[0], losses = compiled(held[0], *arrays, order.reshape(-1, case.batch).astype(np.int32))
        losses.block_until_ready()

    def outcome() -> list[Array]:
        run(np.arange(CHECKED_CALLS * case.batch))
        after = as_numpy(_flat(held[0]))
        run(rng.permutation(case.rows))
        return after

    def epochs(count: int) -> None:
        for _ in range(count):
            run(rng.permutation(case.rows))

    return Runner(outcome, timed(epochs), case.steps)


def _op(case: Case, data: Data) -> Runner:
    call = jax.jit(_function(case))
    rotation = _on_device(data)
    if case.family == "gemm":
        # Arguments, not constants: the weights of a layer in training change, so nothing may be laid out in advance.
        layer = tuple(map(jnp.array, data.weights[0]))
        rotation = [(*each, *layer) for each in rotation]
    return Runner(
        lambda: as_numpy(*jax.tree.leaves(call(*rotation[0]))),
        blocks(call, rotation, jax.block_until_ready),
    )


def _function(case: Case) -> Callable[..., Any]:
    if case.family == "gemm":
        products: dict[str, Callable[..., Any]] = {
            "forward": lambda x, weight, bias: x @ weight + bias,
            "dx": lambda dy, weight, _: dy @ weight.T,
            "dweight": lambda x, dy, *_: (x.T @ dy, dy.sum(axis=0)),
        }
        return products[case.op]

    slope = cases.SLOPE
    functions: dict[str, Callable[..., Any]] = {
        "relu-forward": lambda x: jnp.where(x > 0, x, slope * x),
        "relu-backward": lambda x, dy: jnp.where(x > 0, dy, slope * dy),
        "softmax": lambda x: jax.nn.softmax(x, axis=1),
        "cross-entropy": jax.value_and_grad(_cross_entropy),
    }
    return functions[case.op]


def _updates(case: Case, data: Data) -> Runner:
    rotation = _on_device(data)
    held = [(jnp.array(data.state[0]), *map(jnp.array, data.state[1:]), jnp.zeros((), jnp.int32))]

    def update(state: Any, gradient: Any) -> Any:
        param, *slots, done = state
        done = done + 1
        if case.op == "adam-update":
            param, slots = _adam(param, gradient, slots, done)
        else:
            slots = [cases.MOMENTUM * slots[0] + cases.LEARNING_RATE * gradient]
            param = param - slots[0]
        return (param, *slots, done)

    compiled = jax.jit(update, donate_argnums=0)

    def call(gradient: Any) -> None:
        held[0] = compiled(held[0], gradient)

    def outcome() -> list[Array]:
        for each in checked(rotation):
            call(*each)
        return as_numpy(held[0][0])

    return Runner(outcome, blocks(call, rotation, lambda _: jax.block_until_ready(held[0])))
