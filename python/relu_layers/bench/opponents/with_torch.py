"""PyTorch as its users write it: ``nn.Sequential``, autograd, its own optimizers (fused where there is a fused one)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from relu_layers.bench import cases
from relu_layers.bench.cases import Case
from relu_layers.bench.data import CHECKED_CALLS, Array, Data, checked
from relu_layers.bench.opponents.base import Runner, as_numpy, blocks, fastest, timed


class Torch:
    """Eager PyTorch."""

    compiled = False

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    def versions(self) -> dict[str, str]:
        """Return version and threads."""
        return {"torch": torch.__version__, "threads": str(torch.get_num_threads())}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return one op, or the step, the inference or the fit of a network."""
        if case.section == "ops":
            return _updates(case, data) if case.family == "update" else _op(case, data)
        model = _model(case, data)
        rotation = [tuple(map(torch.from_numpy, each)) for each in data.rotation]
        apply = torch.compile(model, dynamic=False) if self.compiled else model
        if case.section == "inference":
            return _inference(apply, rotation)
        step = _step(case, model, apply)
        if case.section == "fit":
            return _fit(case, model, step, *rotation[0])

        def outcome() -> list[Array]:
            losses = [float(step(*each)) for each in checked(rotation)]
            return as_numpy(losses, _flat(model))

        return Runner(outcome, blocks(step, rotation))


class CompiledTorch(Torch):
    """The model through ``torch.compile``."""

    compiled = True


def _model(case: Case, data: Data) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for weight, bias in data.weights:
        linear = torch.nn.Linear(*weight.shape, dtype=getattr(torch, case.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _flat(model: torch.nn.Sequential) -> Array:
    """Return the parameters in the order of this package: weight (in, out), then bias, layer by layer."""
    with torch.no_grad():
        parts = [p.T.reshape(-1) if p.ndim == 2 else p for p in model.parameters()]
        array: Array = torch.cat(parts).numpy()
    return array


def _step(case: Case, model: torch.nn.Module, apply: Callable[..., Any]) -> Callable[..., Any]:
    rate = cases.LEARNING_RATE
    optimizer: torch.optim.Optimizer
    if case.optimizer == "adam":
        betas = (cases.BETA1, cases.BETA2)
        optimizer = torch.optim.Adam(model.parameters(), rate, betas=betas, eps=cases.EPSILON, fused=True)
    else:
        momentum = cases.MOMENTUM if case.optimizer == "momentum" else 0.0
        optimizer = torch.optim.SGD(model.parameters(), rate, momentum=momentum, fused=True)

    def squared(prediction: Any, target: Any) -> Any:
        return 0.5 * F.mse_loss(prediction, target)

    loss_of = squared if case.regression else F.cross_entropy

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(apply(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def _inference(apply: Callable[..., Any], rotation: list[tuple[Any, ...]]) -> Runner:
    def outcome() -> list[Array]:
        with torch.inference_mode():
            return as_numpy(*(apply(*each).numpy() for each in checked(rotation)))

    inner = blocks(apply, rotation)

    def block(count: int) -> int:
        with torch.inference_mode():
            return inner(count)

    return Runner(outcome, block)


def _fit(case: Case, model: torch.nn.Sequential, step: Callable[..., Any], x: Any, y: Any) -> Runner:
    batch = case.batch

    def outcome() -> list[Array]:
        for start in range(0, CHECKED_CALLS * batch, batch):
            step(x[start : start + batch], y[start : start + batch])
        return as_numpy(_flat(model))

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch):
                step(x.index_select(0, rows), y.index_select(0, rows))

    return Runner(outcome, timed(run), case.steps)


def _op(case: Case, data: Data) -> Runner:
    candidates, result = _candidates(case, data)
    rotation = [tuple(map(torch.from_numpy, each)) for each in data.rotation]
    with torch.no_grad():
        call = fastest(candidates, *rotation[0]) if len(candidates) > 1 else candidates[0]

    def outcome() -> list[Array]:
        with torch.no_grad():
            value = call(*rotation[0])
        if case.op == "cross-entropy":
            return as_numpy(float(value[0]), value[1].numpy())
        return as_numpy(*(array.numpy() for array in result))

    def block(count: int) -> int:
        with torch.no_grad():
            return inner(count)

    inner = blocks(call, rotation)
    return Runner(outcome, block)


def _candidates(case: Case, data: Data) -> tuple[list[Callable[..., Any]], tuple[Any, ...]]:
    """Return ways to compute an op from the rotating arguments, and the tensors they write."""
    if case.family == "gemm":
        return _products(case, data)
    out = torch.empty(case.shape, dtype=getattr(torch, case.dtype))
    aten = torch.ops.aten
    slope = cases.SLOPE
    calls: dict[str, Callable[..., Any]] = {
        "relu-forward": lambda x: aten.leaky_relu.out(x, slope, out=out),
        "relu-backward": lambda x, dy: aten.leaky_relu_backward.grad_input(
            dy, x, slope, False, grad_input=out
        ),
        "softmax": lambda x: torch.softmax(x, 1, out=out),
        "cross-entropy": _cross_entropy,
    }
    return [calls[case.op]], (out,)


def _cross_entropy(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Return loss and gradient by autograd's own functions, without autograd."""
    aten = torch.ops.aten
    log_probability = aten._log_softmax(logits, 1, False)
    loss, weight = aten.nll_loss_forward(log_probability, labels, None, 1, -100)
    one = torch.ones_like(loss)
    gradient = aten.nll_loss_backward(one, log_probability, labels, None, 1, -100, weight)
    return loss, aten._log_softmax_backward_data(gradient, log_probability, 1, logits.dtype)


def _products(case: Case, data: Data) -> tuple[list[Callable[..., Any]], tuple[Any, ...]]:
    weight, bias = map(torch.from_numpy, data.weights[0])
    batch, inputs, outputs = case.shape
    dtype = weight.dtype
    if case.op == "forward":
        y = torch.empty((batch, outputs), dtype=dtype)
        # Its own layer keeps the transposed weight; either order may be the faster one.
        rows = weight.T.contiguous().T
        return [
            lambda x: torch.addmm(bias, x, weight, out=y),
            lambda x: torch.addmm(bias, x, rows, out=y),
        ], (y,)
    if case.op == "dx":
        dx = torch.empty((batch, inputs), dtype=dtype)
        transposed = weight.T
        columns = transposed.contiguous()
        return [
            lambda dy: torch.mm(dy, transposed, out=dx),
            lambda dy: torch.mm(dy, columns, out=dx),
        ], (dx,)
    dweight, dbias = torch.empty_like(weight), torch.empty_like(bias)

    def gradients(x: Any, dy: Any) -> None:
        torch.mm(x.T, dy, out=dweight)
        torch.sum(dy, 0, out=dbias)

    return [gradients], (dweight, dbias)


def _updates(case: Case, data: Data) -> Runner:
    param, *slots = (torch.from_numpy(array.copy()) for array in data.state)
    param.requires_grad_()
    optimizer: torch.optim.Optimizer
    if case.op == "adam-update":
        betas = (cases.BETA1, cases.BETA2)
        optimizer = torch.optim.Adam([param], cases.LEARNING_RATE, betas=betas, eps=cases.EPSILON, fused=True)
    else:
        optimizer = torch.optim.SGD([param], cases.LEARNING_RATE, momentum=cases.MOMENTUM, fused=True)
        # Its velocity leaves out the rate.
        optimizer.state[param]["momentum_buffer"] = slots[0] / cases.LEARNING_RATE
    rotation = [tuple(map(torch.from_numpy, each)) for each in data.rotation]

    def call(gradient: Any) -> None:
        param.grad = gradient
        optimizer.step()

    def outcome() -> list[Array]:
        for each in checked(rotation):
            call(*each)
        return as_numpy(param.detach().numpy())

    return Runner(outcome, blocks(call, rotation))
