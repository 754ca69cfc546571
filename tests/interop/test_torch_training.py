"""The same training on both sides: loss curves, losses one by one, optimizers one by one, state and groups."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn, optim  # noqa: E402

import relu_layers.interop.torch as rlt  # noqa: E402

Optimizer = Callable[[Any], Any]


def network(*, classes: int = 4) -> Any:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(6, 16),
        nn.LeakyReLU(0.1),
        nn.Linear(16, 12),
        nn.LeakyReLU(0.1),
        nn.Linear(12, classes),
    ).double()


def batches(steps: int, *, classes: int = 4, rows: int = 16) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(8)
    centres = rng.standard_normal((classes, 6))
    result = []
    for _ in range(steps):
        labels = rng.integers(0, classes, rows)
        x = centres[labels] + 0.7 * rng.standard_normal((rows, 6))
        result.append((torch.tensor(x), torch.tensor(labels)))
    return result


def curve_there(net: Any, loss: Any, optimizer: Any, data: list[tuple[Any, Any]]) -> list[float]:
    values = []
    for x, y in data:
        optimizer.zero_grad()
        value = loss(net(x), y)
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


def curves(
    net: Any, loss: Any, make: Optimizer, data: list[tuple[Any, Any]], *, capture: bool = True
) -> tuple[list[float], list[float], Any]:
    """Return the losses of our training, those of PyTorch's from the same weights, and our model."""
    theirs = make(net.parameters())
    model = rlt.from_torch(net)
    optimizer = rlt.optimizer_from_torch(theirs, net)
    trainer = rl.Trainer(model, rlt.loss_from_torch(loss), optimizer, capture=capture)
    ours = [trainer.step(x, y) for x, y in data]
    return ours, curve_there(net, loss, theirs, data), model


def same_parameters(model: Any, net: Any, tolerance: float) -> None:
    converted = rlt.from_torch(net)
    np.testing.assert_allclose(model.flat_params, converted.flat_params, rtol=0, atol=tolerance)


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: optim.SGD(parameters, lr=0.05, momentum=0.9),
        lambda parameters: optim.Adam(parameters, lr=0.005),
    ],
    ids=["sgd-momentum", "adam"],
)
def test_the_loss_curve_is_pytorchs_over_200_steps(make: Optimizer, capture: bool) -> None:
    net = network()
    ours, theirs, model = curves(net, nn.CrossEntropyLoss(), make, batches(200), capture=capture)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert np.mean(ours[-20:]) < 0.5 * ours[0]
    same_parameters(model, net, 1e-9)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.004, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.004, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.002, alpha=0.9, eps=1e-6, weight_decay=0.01),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1, weight_decay=0.01),
    "adagrad-decay": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.05),
    "adadelta": lambda p: optim.Adadelta(p, lr=0.9, rho=0.95, eps=1e-5, weight_decay=0.01),
    "tensor-rate": lambda p: optim.Adam(p, lr=torch.tensor(0.004, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_the_same_way(name: str) -> None:
    net = network()
    ours, theirs, model = curves(net, nn.CrossEntropyLoss(), OPTIMIZERS[name], batches(60))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    same_parameters(model, net, 1e-9)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "momentum"])
def test_training_goes_on_where_pytorch_stopped(name: str) -> None:
    """Half the steps in PyTorch, half here, with momentum, moments and steps carried over."""
    make = OPTIMIZERS.get(name, lambda p: optim.SGD(p, lr=0.05, momentum=0.9))
    net, data = network(), batches(60)
    optimizer = make(net.parameters())
    loss = nn.CrossEntropyLoss()
    curve_there(net, loss, optimizer, data[:30])
    model = rlt.from_torch(net)
    trainer = rl.Trainer(model, rlt.loss_from_torch(loss), rlt.optimizer_from_torch(optimizer, net))
    ours = [trainer.step(x, y) for x, y in data[30:]]
    theirs = curve_there(net, loss, optimizer, data[30:])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    same_parameters(model, net, 1e-9)


def test_groups_become_multipliers() -> None:
    """Two rates, two decays, one frozen parameter and one that the optimizer does not know."""
    net = network()
    net[0].bias.requires_grad_(False)

    def make(_: Any) -> Any:
        return optim.AdamW(
            [
                {"params": [net[0].weight, net[0].bias, net[2].bias], "lr": 0.001, "weight_decay": 0.2},
                {"params": [net[2].weight, net[4].weight], "lr": 0.004, "weight_decay": 0.0},
            ]
        )

    frozen = net[0].bias.clone(), net[4].bias.detach().clone()
    ours, theirs, model = curves(net, nn.CrossEntropyLoss(), make, batches(60))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    same_parameters(model, net, 1e-9)
    np.testing.assert_array_equal(model.params["0.bias"], frozen[0].numpy())
    np.testing.assert_array_equal(model.params["4.bias"], frozen[1].numpy())
    optimizer = rlt.optimizer_from_torch(make(None), net)
    assert optimizer.multipliers["0.weight"] == (0.25, 1.0)
    assert optimizer.multipliers["0.bias"] == (0.0, 0.0)
    assert optimizer.multipliers["4.weight"] == (1.0, 0.0)


def test_prelu_and_no_bias_go_along() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.PReLU(8), nn.Sequential(nn.Identity(), nn.Linear(8, 4))
    )
    net = net.double()
    ours, theirs, model = curves(
        net, nn.CrossEntropyLoss(), lambda p: optim.SGD(p, lr=0.05, momentum=0.9), batches(60)
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    same_parameters(model, net, 1e-9)


def test_a_schedule_takes_the_place_of_a_scheduler() -> None:
    net, data = network(), batches(60)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
    with pytest.raises(ValueError, match=r"a scheduler drives the learning rate.*pass learning_rate"):
        rlt.optimizer_from_torch(optimizer, net)
    model = rlt.from_torch(net)
    ours = rlt.optimizer_from_torch(optimizer, net, learning_rate=rl.schedules.Exponential(0.01, 0.95))
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), ours)
    losses = [trainer.step(x, y) for x, y in data]
    expected = []
    for batch in data:
        expected += curve_there(net, nn.CrossEntropyLoss(), optimizer, [batch])
        scheduler.step()
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9)


def test_sgd_differs_where_the_rate_changes_as_the_notes_say() -> None:
    """Here the rate is inside the velocity: after a drop of the rate the old velocity keeps its speed."""
    net, data = network(), batches(12)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    model = rlt.from_torch(net)
    schedule = rl.schedules.MultiStep(0.1, 0.01, [6])
    ours = rlt.optimizer_from_torch(optimizer, net, learning_rate=schedule)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), ours)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, [6], gamma=0.01)
    differences = []
    for x, y in data:
        value = trainer.step(x, y)
        [theirs] = curve_there(net, nn.CrossEntropyLoss(), optimizer, [(x, y)])
        scheduler.step()
        differences.append(abs(value - theirs))
    assert max(differences[:7]) < 1e-12
    assert min(differences[7:]) > 1e-6


def soft(labels: Any) -> Any:
    return 0.9 * nn.functional.one_hot(labels, 4).double() + 0.025


LOSSES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "cross-entropy": (nn.CrossEntropyLoss(), lambda y: y),
    "weights": (
        nn.CrossEntropyLoss(torch.tensor([0.5, 1.0, 2.0, 0.1]).double(), label_smoothing=0.2),
        lambda y: y,
    ),
    "ignored": (nn.CrossEntropyLoss(ignore_index=2), lambda y: y),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), lambda y: y),
    "soft-labels": (nn.CrossEntropyLoss(label_smoothing=0.1), soft),
    "mse": (nn.MSELoss(), soft),
    "mse-sum": (nn.MSELoss(reduction="sum"), soft),
    "bce": (nn.BCEWithLogitsLoss(), soft),
    "bce-sum": (nn.BCEWithLogitsLoss(reduction="sum"), soft),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_pytorchs(name: str) -> None:
    loss, target = LOSSES[name]
    data = [(x, target(y)) for x, y in batches(40)]
    ours, theirs, _ = curves(network(), loss, lambda p: optim.SGD(p, lr=0.002, momentum=0.5), data)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.L1Loss(), "L1Loss has no counterpart here: supported are CrossEntropyLoss, MSELoss"),
        (nn.NLLLoss(), "leave LogSoftmax out and take nn.CrossEntropyLoss"),
        (nn.BCELoss(), "take nn.BCEWithLogitsLoss"),
        (nn.MSELoss(reduction="none"), "reduction is 'none', expected 'mean' or 'sum'"),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(1)), "has a pos_weight"),
        (nn.BCEWithLogitsLoss(weight=torch.ones(1)), "has a weight"),
    ],
)
def test_a_loss_without_counterpart_is_named(loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rlt.loss_from_torch(loss)


def test_what_is_no_loss_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"expected a loss of torch\.nn"):
        rlt.loss_from_torch(nn.functional.mse_loss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1), "dampening is 0.1 in group 0 of SGD"),
        (lambda p: optim.SGD(p, lr=0.1, maximize=True), "maximize is True"),
        (lambda p: optim.Adam(p, amsgrad=True), "amsgrad is True"),
        (lambda p: optim.RMSprop(p, centered=True), "centered is True"),
        (lambda p: optim.RMSprop(p, momentum=0.5), "momentum is 0.5 in group 0 of RMSprop"),
        (optim.Adamax, r"Adamax has no counterpart here.*did you mean 'Adam'"),
        (lambda p: optim.LBFGS(p), "LBFGS has no counterpart here: supported are SGD, Adam, AdamW"),
        (
            lambda p: optim.SGD([torch.ones(3, requires_grad=True)], lr=0.1),
            r"shape \(3,\) that is not one of",
        ),
    ],
)
def test_an_optimizer_without_counterpart_is_named(make: Optimizer, message: str) -> None:
    net = network()
    with pytest.raises(ValueError, match=message):
        rlt.optimizer_from_torch(make(net.parameters()), net)


def test_options_that_differ_between_groups_are_named() -> None:
    net = network()
    first, *others = net.parameters()
    optimizer = optim.SGD([{"params": [first], "momentum": 0.5}, {"params": others}], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"momentum is 0\.9 in group 1 and 0\.5 in group 0"):
        rlt.optimizer_from_torch(optimizer, net)
    optimizer = optim.Adam(others, lr=0.1)
    curve_there(net, nn.CrossEntropyLoss(), optimizer, batches(2))
    optimizer.add_param_group({"params": [first]})
    curve_there(net, nn.CrossEntropyLoss(), optimizer, batches(1))
    with pytest.raises(ValueError, match=r"have made \[1, 3\] steps"):
        rlt.optimizer_from_torch(optimizer, net)
    with pytest.raises(TypeError, match=r"expected one of torch\.optim"):
        rlt.optimizer_from_torch("adam", net)


def test_the_converted_optimizer_keeps_apart_from_the_old_one() -> None:
    net, data = network(), batches(10)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    curve_there(net, nn.CrossEntropyLoss(), optimizer, data[:5])
    before = copy.deepcopy(optimizer.state_dict()["state"])
    ours = rlt.optimizer_from_torch(optimizer, net)
    assert ours.updates == 5
    trainer = rl.Trainer(rlt.from_torch(net), rl.SoftmaxCrossEntropy(), ours)
    trainer.fit(data[0][0], data[0][1], epochs=20, batch_size=4)
    for key, state in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, before[key][name]) for name, value in state.items())
