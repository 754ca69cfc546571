"""This package as a user calls it: ``rl.ops`` with ``out=``, ``trainer.step``, ``model(x)``, ``trainer.fit``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from relu_layers import ops, runtime
from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Data, checked
from relu_layers.bench.opponents.base import Array, Runner, as_numpy, blocks, timed
from relu_layers.losses import Loss, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential, freeze, mlp
from relu_layers.optimizers import SGD, Adam, Optimizer
from relu_layers.trainer import Trainer


class Ours:
    """relu_layers through its public functions."""

    def __init__(self, threads: int) -> None:
        runtime.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        """Return version, target and targets."""
        info = runtime.build_info()
        return {
            "relu_layers": info["version"],
            "target": info["target"],
            "targets": ", ".join(info["targets"]),
            "compiler": info["compiler"],
        }

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return one op, or the step, the inference or the fit of a model."""
        if case.section == "ops":
            return _updates(case, data) if case.family == "update" else _op(case, data)
        model = _model(case, data)
        if case.section == "inference":
            infer = freeze(model) if case.op == "frozen" else model
            return Runner(
                lambda: as_numpy(*(infer(*each) for each in checked(data.rotation))),
                blocks(infer, data.rotation),
            )
        trainer = Trainer(model, _loss(case), _optimizer(case))
        if case.section == "training":
            return Runner(
                lambda: as_numpy([trainer.step(*each) for each in checked(data.rotation)], _flat(model)),
                blocks(trainer.step, data.rotation),
            )
        return _fit(case, data, trainer)


def _op(case: Case, data: Data) -> Runner:
    call, result = _call(case, data)
    rotation = data.rotation

    def outcome() -> list[Array]:
        value = call(*rotation[0])
        return as_numpy(value[0], result[0]) if case.op == "cross-entropy" else as_numpy(*result)

    return Runner(outcome, blocks(call, rotation))


def _call(case: Case, data: Data) -> tuple[Callable[..., Any], tuple[Array, ...]]:
    """Return a function of the rotating arguments, and the arrays it writes."""
    first = data.rotation[0]
    if case.family == "gemm":
        [(weight, bias)] = data.weights
        batch, inputs, outputs = case.shape
        if case.op == "forward":
            y = np.empty((batch, outputs), case.dtype)
            return (lambda x: ops.dense_forward(x, weight, bias, out=y)), (y,)
        if case.op == "dx":
            dx = np.empty((batch, inputs), case.dtype)
            return (lambda dy: ops.matmul(dy, weight, transpose_b=True, out=dx)), (dx,)
        gradients = (None, np.empty_like(weight), np.empty_like(bias))
        return (lambda x, dy: ops.dense_backward(x, weight, dy, need_dx=False, out=gradients)), gradients[1:]
    out = np.empty_like(first[0])
    slope = cases.SLOPE
    calls: dict[str, Callable[..., Any]] = {
        "relu-forward": lambda x: ops.relu_forward(x, slope, out=out),
        "relu-backward": lambda x, dy: ops.relu_backward(x, dy, slope, out=out),
        "softmax": lambda x: ops.softmax_forward(x, out=out),
        "cross-entropy": lambda x, labels: ops.softmax_cross_entropy(x, labels, out=out),
    }
    return calls[case.op], (out,)


def _updates(case: Case, data: Data) -> Runner:
    numbers = count(1)
    state = data.state
    rate, momentum = cases.LEARNING_RATE, cases.MOMENTUM

    def sgd(grad: Array) -> None:
        ops.sgd_update(state[0], grad, state[1], learning_rate=rate, momentum=momentum)

    def adam(grad: Array) -> None:
        ops.adam_update(state[0], grad, state[1], state[2], learning_rate=rate, step=next(numbers))

    call = sgd if case.op == "sgd-update" else adam

    def outcome() -> list[Array]:
        for each in checked(data.rotation):
            call(*each)
        return as_numpy(state[0])

    return Runner(outcome, blocks(call, data.rotation))


def _fit(case: Case, data: Data, trainer: Trainer) -> Runner:
    [(x, y)] = data.rotation

    def outcome() -> list[Array]:
        rows = CHECKED_CALLS * case.batch
        trainer.fit(x[:rows], y[:rows], epochs=1, batch_size=case.batch, shuffle=False)
        return as_numpy(_flat(trainer.model))

    return Runner(
        outcome,
        timed(lambda epochs: trainer.fit(x, y, epochs=epochs, batch_size=case.batch)),
        case.steps,
    )


def _model(case: Case, data: Data) -> Sequential:
    model = mlp(case.shape, dtype=case.dtype, rng=0)
    for layer, (weight, bias) in enumerate(data.weights):
        model.params[f"{2 * layer}.weight"] = weight
        model.params[f"{2 * layer}.bias"] = bias
    return model


def _flat(model: Sequential) -> Array:
    return model.flat_params


def _loss(case: Case) -> Loss:
    return SquaredError(scale=0.5, normalization="batch_size") if case.regression else SoftmaxCrossEntropy()


def _optimizer(case: Case) -> Optimizer:
    if case.optimizer == "adam":
        return Adam(cases.LEARNING_RATE)
    return SGD(cases.LEARNING_RATE, momentum=cases.MOMENTUM if case.optimizer == "momentum" else 0.0)
