"""NumPy as well as it can be written: everything allocated before, ``out=`` everywhere, no pass without need.

Where there are several ways to write the same, the one is taken that runs fastest on the case's own arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Data, checked
from relu_layers.bench.opponents.base import Array, Runner, as_numpy, blocks, fastest, timed
from relu_layers.bench.opponents.numpy_net import Net, Rows
from relu_layers.bench.opponents.numpy_updates import fastest_update, split


class NumPy:
    """Hand-written NumPy; its BLAS was given the number of threads by the environment."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def versions(self) -> dict[str, str]:
        """Return version and BLAS, with the kernels it has chosen where threadpoolctl knows them."""
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        said = {"NumPy": np.__version__, "BLAS": f"{built['name']} {built['version']}"}
        try:
            from threadpoolctl import threadpool_info
        except ImportError:
            return said
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        kernels = {
            f"{pool.get('architecture', 'unknown')} kernels, {pool['num_threads']} threads" for pool in pools
        }
        return {**said, "BLAS kernels": "; ".join(sorted(kernels))} if kernels else said

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return one op, or the step, the inference or the fit of a network."""
        if case.section == "ops":
            return _updates(case, data) if case.family == "update" else _op(case, data)
        net = Net(case, data.weights)
        if case.section == "inference":
            return Runner(
                lambda: as_numpy(*(np.array(net.forward(*each)) for each in checked(data.rotation))),
                # A copy, because results belong to the caller everywhere else.
                blocks(lambda x: net.forward(x).copy(), data.rotation),
            )
        net.choose(*(array[: case.batch] for array in data.rotation[0]))
        if case.section == "training":
            return Runner(
                lambda: as_numpy([net.step(*each) for each in checked(data.rotation)], net.params),
                blocks(net.step, data.rotation),
            )
        return _fit(case, data, net)


def _fit(case: Case, data: Data, net: Net) -> Runner:
    [(x, y)] = data.rotation
    batch = case.batch
    rng = np.random.default_rng()
    x_batch, y_batch = np.empty_like(x[:batch]), np.empty_like(y[:batch])

    def outcome() -> list[Array]:
        for start in range(0, CHECKED_CALLS * batch, batch):
            net.step(x[start : start + batch], y[start : start + batch])
        return as_numpy(net.params)

    def run(epochs: int) -> None:
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                rows = order[start : start + batch]
                # Any mode but "raise" lets NumPy write into `out` without a buffer of its own.
                np.take(x, rows, axis=0, out=x_batch, mode="clip")
                np.take(y, rows, axis=0, out=y_batch, mode="clip")
                net.step(x_batch, y_batch)

    return Runner(outcome, timed(run), case.steps)


def _op(case: Case, data: Data) -> Runner:
    candidates, result = _candidates(case, data)
    first = data.rotation[0]
    call = fastest(candidates, *first) if len(candidates) > 1 else candidates[0]

    def outcome() -> list[Array]:
        value = call(*first)
        return as_numpy(value, *result) if case.op == "cross-entropy" else as_numpy(*result)

    return Runner(outcome, blocks(call, data.rotation))


def _candidates(case: Case, data: Data) -> tuple[list[Callable[..., Any]], tuple[Array, ...]]:
    """Return ways to compute an op from the rotating arguments, and the arrays they write."""
    if case.family == "gemm":
        return _products(case, data)
    out = np.empty_like(data.rotation[0][0])
    if case.family == "relu":
        return _relu(case, out), (out,)
    rows = Rows(out, *case.shape)
    return [rows.softmax if case.op == "softmax" else rows.cross_entropy], (out,)


def _products(case: Case, data: Data) -> tuple[list[Callable[..., Any]], tuple[Array, ...]]:
    [(weight, bias)] = data.weights
    batch, inputs, outputs = case.shape
    if case.op == "forward":
        y = np.empty((batch, outputs), case.dtype)

        def forward(product: Callable[..., Any]) -> Callable[..., Any]:
            def call(x: Array) -> None:
                product(x, weight, out=y)
                np.add(y, bias, out=y)

            return call

        return [forward(np.dot), forward(np.matmul)], (y,)
    if case.op == "dx":
        dx = np.empty((batch, inputs), case.dtype)
        transposed = weight.T
        return [
            lambda dy: np.dot(dy, transposed, out=dx),
            lambda dy: np.matmul(dy, transposed, out=dx),
        ], (dx,)
    dweight, dbias = np.empty_like(weight), np.empty_like(bias)
    ones = np.ones(batch, case.dtype)

    def gradients(product: Callable[..., Any], by_product: bool) -> Callable[..., Any]:
        def call(x: Array, dy: Array) -> None:
            product(x.T, dy, out=dweight)
            if by_product:
                np.dot(ones, dy, out=dbias)
            else:
                np.add.reduce(dy, axis=0, out=dbias)

        return call

    ways = [gradients(product, by_product) for product in (np.dot, np.matmul) for by_product in (True, False)]
    return ways, (dweight, dbias)


def _relu(case: Case, out: Array) -> list[Callable[..., Any]]:
    slope = out.dtype.type(cases.SLOPE)
    mask = np.empty(out.shape, np.bool_)

    def by_maximum(x: Array) -> None:
        np.multiply(x, slope, out=out)
        np.maximum(x, out, out=out)

    if case.op == "relu-forward":
        return [by_maximum]
    chosen = np.array([slope, 1], out.dtype)

    def by_copy(x: Array, dy: Array) -> None:
        np.greater(x, 0, out=mask)
        np.multiply(dy, slope, out=out)
        np.copyto(out, dy, where=mask)

    def by_table(x: Array, dy: Array) -> None:
        np.greater(x, 0, out=mask)
        np.take(chosen, mask.view(np.uint8), out=out, mode="clip")
        np.multiply(out, dy, out=out)

    def by_factor(x: Array, dy: Array) -> None:
        np.greater(x, 0, out=mask)
        np.multiply(mask, 1 - slope, out=out)
        np.add(out, slope, out=out)
        np.multiply(out, dy, out=out)

    return [by_copy, by_table, by_factor]


def _updates(case: Case, data: Data) -> Runner:
    kind = "momentum" if case.op == "sgd-update" else "adam"
    gradients = [gradient for (gradient,) in data.rotation]
    update, length = fastest_update(kind, data.state, gradients[0])
    rotation = [(split(gradient, length),) for gradient in gradients]

    def outcome() -> list[Array]:
        for each in checked(rotation):
            update(*each)
        return as_numpy(data.state[0])

    return Runner(outcome, blocks(update, rotation))
