"""The reference ops against PyTorch, in float64: losses with weights and smoothing, activations, updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from relu_layers.ops import reference

EPS = float(np.finfo(np.float64).eps)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch, the other opinion, is not installed")


CROSS_ENTROPY_CASES: list[dict[str, Any]] = [
    {},
    {"weighted": True},
    {"smoothing": 0.1},
    {"smoothing": 0.3, "weighted": True},
    {"smoothing": 0.3, "weighted": True, "ignore": 2},
    {"ignore": 2, "reduction": "sum"},
    {"probabilities": True},
    {"probabilities": True, "weighted": True, "smoothing": 0.2},
]


@pytest.mark.parametrize("case", CROSS_ENTROPY_CASES, ids=str)
@pytest.mark.parametrize("shape", [(7, 5), (3, 5, 4)])
def test_cross_entropy_is_torchs(torch: Any, shape: tuple[int, ...], case: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    logits = 3 * rng.standard_normal(shape)
    positions = (shape[0], *shape[2:])
    weight = rng.uniform(0.2, 2.0, 5) if case.get("weighted") else None
    if case.get("probabilities"):
        labels: Any = rng.dirichlet(np.ones(5), positions)
        labels = np.ascontiguousarray(np.moveaxis(labels, -1, 1))
    else:
        labels = rng.integers(0, 5, positions)
    smoothing, ignore = case.get("smoothing", 0.0), case.get("ignore")
    reduction = case.get("reduction", "mean")
    variable = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        variable,
        torch.tensor(labels),
        weight=None if weight is None else torch.tensor(weight),
        ignore_index=-100 if ignore is None else ignore,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    expected.backward()
    loss, gradient = reference.softmax_cross_entropy(
        logits,
        labels,
        axis=1,
        class_weight=weight,
        label_smoothing=smoothing,
        ignore_label=ignore,
        normalization="valid" if reduction == "mean" else "none",
    )
    assert loss == pytest.approx(expected.item(), rel=32 * EPS)
    np.testing.assert_allclose(gradient, variable.grad.numpy(), rtol=0, atol=32 * EPS)


def test_elementwise_losses_are_torchs(torch: Any) -> None:
    rng = np.random.default_rng(4)
    logits, targets = 4 * rng.standard_normal((6, 3)), rng.random((6, 3))
    functional = torch.nn.functional
    for mine, theirs in (
        (reference.sigmoid_cross_entropy, functional.binary_cross_entropy_with_logits),
        (reference.squared_error, functional.mse_loss),
        (reference.huber, functional.huber_loss),
    ):
        variable = torch.tensor(logits, requires_grad=True)
        expected = theirs(variable, torch.tensor(targets))
        expected.backward()
        loss, gradient = mine(logits, targets, normalization="full")
        assert loss == pytest.approx(expected.item(), rel=32 * EPS)
        np.testing.assert_allclose(gradient, variable.grad.numpy(), rtol=0, atol=32 * EPS)


def test_activations_are_torchs(torch: Any) -> None:
    rng = np.random.default_rng(5)
    x, dy = 3 * rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    slope = rng.uniform(0.05, 0.5, 6)
    functional = torch.nn.functional
    y: Any
    for theirs, forward, backward in (
        (
            lambda v: functional.leaky_relu(v, 0.2),
            lambda: reference.relu_forward(x, 0.2),
            lambda y: reference.relu_backward(x, dy, 0.2),
        ),
        (
            lambda v: functional.threshold(v, 0.4, -3.0),
            lambda: reference.threshold_forward(x, 0.4, -3.0),
            lambda y: reference.threshold_backward(x, dy, 0.4),
        ),
        (
            lambda v: functional.elu(v, 0.8),
            lambda: reference.elu_forward(x, 0.8),
            lambda y: reference.elu_backward(y, dy, 0.8),
        ),
        (
            torch.sigmoid,
            lambda: reference.sigmoid_forward(x),
            lambda y: reference.sigmoid_backward(y, dy),
        ),
        (functional.selu, lambda: reference.selu_forward(x), lambda y: reference.selu_backward(y, dy)),
        (
            lambda v: functional.softplus(v, threshold=1000),
            lambda: reference.softplus_forward(x),
            lambda y: reference.softplus_backward(y, dy),
        ),
        (
            functional.relu6,
            lambda: reference.clip_forward(x),
            lambda y: reference.clip_backward(y, dy),
        ),
        (
            functional.silu,
            lambda: reference.silu_forward(x),
            lambda y: reference.silu_backward(x, dy),
        ),
        (functional.gelu, lambda: reference.gelu_forward(x), lambda y: reference.gelu_backward(x, dy)),
        (
            lambda v: functional.gelu(v, approximate="tanh"),
            lambda: reference.gelu_forward(x, "tanh"),
            lambda y: reference.gelu_backward(x, dy, "tanh"),
        ),
        (torch.tanh, lambda: reference.tanh_forward(x), lambda y: reference.tanh_backward(y, dy)),
        (
            lambda v: functional.prelu(v, torch.tensor(slope)),
            lambda: reference.prelu_forward(x, slope),
            lambda y: reference.prelu_backward(x, slope, dy)[0],
        ),
        (
            lambda v: torch.softmax(v, 0),
            lambda: reference.softmax_forward(x, 0),
            lambda y: reference.softmax_backward(y, dy, 0),
        ),
        (
            lambda v: torch.log_softmax(v, 1),
            lambda: reference.log_softmax_forward(x),
            lambda y: reference.log_softmax_backward(y, dy),
        ),
    ):
        variable = torch.tensor(x, requires_grad=True)
        result = theirs(variable)
        result.backward(torch.tensor(dy))
        y = forward()
        expected, gradient = result.detach().numpy(), variable.grad.numpy()
        np.testing.assert_allclose(y, expected, rtol=0, atol=16 * EPS * np.abs(expected).max())
        np.testing.assert_allclose(backward(y), gradient, rtol=0, atol=32 * EPS * np.abs(dy).max())


DECAY = 0.02
OPTIMIZERS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any], int]] = {
    # name: PyTorch's class and options, our update and options, number of state arrays. Caffe keeps the rate inside
    # the velocity, which is the same path as PyTorch's as long as the rate is constant.
    "sgd": ("SGD", {"momentum": 0.9}, "sgd_update", {"momentum": 0.9}, 1),
    "nesterov": (
        "SGD",
        {"momentum": 0.9, "nesterov": True},
        "sgd_update",
        {"momentum": 0.9, "nesterov": True},
        1,
    ),
    "adagrad": ("Adagrad", {"eps": 1e-8}, "adagrad_update", {}, 1),
    "rmsprop": ("RMSprop", {"alpha": 0.97}, "rmsprop_update", {"rho": 0.97}, 1),
    "adadelta": ("Adadelta", {"rho": 0.95, "eps": 1e-6}, "adadelta_update", {}, 2),
    "adam": ("Adam", {}, "adam_update", {}, 2),
    "adamw": ("AdamW", {}, "adamw_update", {}, 2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_torchs(torch: Any, name: str) -> None:
    their_class, their_options, update, options, states = OPTIMIZERS[name]
    rng = np.random.default_rng(6)
    param = rng.standard_normal(9)
    variable = torch.tensor(param.copy(), requires_grad=True)
    optimizer = getattr(torch.optim, their_class)([variable], lr=0.05, weight_decay=DECAY, **their_options)
    state = [np.zeros(9) for _ in range(states)]
    for step in range(1, 31):
        gradient = rng.standard_normal(9)
        variable.grad = torch.tensor(gradient)
        optimizer.step()
        extra = {"step": step} if name.startswith("adam") else {}
        getattr(reference, update)(
            param,
            2 * gradient,
            *state,
            learning_rate=0.05,
            weight_decay=DECAY,
            grad_scale=0.5,
            **options,
            **extra,
        )
    # Thirty updates of a dozen roundings each, of numbers of order 1.
    np.testing.assert_allclose(param, variable.detach().numpy(), rtol=0, atol=30 * 12 * EPS)
