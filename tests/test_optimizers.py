"""Optimizers: their rules number by number, multipliers, decay, clipping norm, state; and against PyTorch."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from relu_layers import schedules
from relu_layers.layers import Dense, ReLU
from relu_layers.losses import SoftmaxCrossEntropy
from relu_layers.model import Sequential, mlp
from relu_layers.ops import reference
from relu_layers.optimizers import BUILT_IN, SGD, AdaDelta, AdaGrad, Adam, AdamW, Optimizer, RMSProp
from relu_layers.trainer import Trainer

# One weight's rule as Caffe writes it: (gradient, state, rate, update number) -> what is subtracted.
State = dict[str, float]
Rule = Callable[[float, State, float, int], float]


def sgd(g: float, s: State, rate: float, t: int) -> float:
    s["v"] = 0.9 * s.get("v", 0.0) + rate * g
    return s["v"]


def nesterov(g: float, s: State, rate: float, t: int) -> float:
    old = s.get("v", 0.0)
    s["v"] = 0.9 * old + rate * g
    return 1.9 * s["v"] - 0.9 * old


def adagrad(g: float, s: State, rate: float, t: int) -> float:
    s["h"] = s.get("h", 0.0) + g * g
    return rate * g / (math.sqrt(s["h"]) + 1e-6)


def rmsprop(g: float, s: State, rate: float, t: int) -> float:
    s["h"] = 0.9 * s.get("h", 0.0) + 0.1 * g * g
    return rate * g / (math.sqrt(s["h"]) + 1e-6)


def adadelta(g: float, s: State, rate: float, t: int) -> float:
    s["h"] = 0.95 * s.get("h", 0.0) + 0.05 * g * g
    u = g * math.sqrt((s.get("d", 0.0) + 1e-5) / (s["h"] + 1e-5))
    s["d"] = 0.95 * s.get("d", 0.0) + 0.05 * u * u
    return rate * u


def adam_hat(g: float, s: State, rate: float, t: int) -> float:
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0.0) + 0.01 * g * g
    return rate * math.sqrt(1 - 0.99**t) / (1 - 0.9**t) * s["m"] / (math.sqrt(s["v"]) + 1e-4)


def adam(g: float, s: State, rate: float, t: int) -> float:
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0.0) + 0.01 * g * g
    return rate * (s["m"] / (1 - 0.9**t)) / (math.sqrt(s["v"] / (1 - 0.99**t)) + 1e-4)


RULES: dict[str, tuple[type[Optimizer], dict[str, Any], Rule]] = {
    "sgd": (SGD, {"momentum": 0.9}, sgd),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}, nesterov),
    "adagrad": (AdaGrad, {"epsilon": 1e-6}, adagrad),
    "rmsprop": (RMSProp, {"rho": 0.9, "epsilon": 1e-6}, rmsprop),
    "adadelta": (AdaDelta, {"rho": 0.95, "epsilon": 1e-5}, adadelta),
    "adam": (Adam, {"beta2": 0.99, "epsilon": 1e-4}, adam),
    "adam_hat": (Adam, {"beta2": 0.99, "epsilon": 1e-4, "epsilon_hat": True}, adam_hat),
}
MULTIPLIERS = {"0.bias": (2.0, 0.0), "2.weight": (0.5, 3.0), "2.bias": (0.0, 1.0)}


def model_of(seed: int = 0, dtype: Any = np.float64) -> Sequential:
    return Sequential(Dense(3, 4, bias_init=0.1), ReLU(), Dense(4, 2), dtype=dtype, rng=seed, ops=reference)


@pytest.mark.parametrize("multipliers", [None, MULTIPLIERS], ids=["plain", "multipliers"])
@pytest.mark.parametrize(("decay", "regularization"), [(0.0, "l2"), (0.02, "l2"), (0.02, "l1")])
@pytest.mark.parametrize("name", RULES)
def test_rule(name: str, decay: float, regularization: str, multipliers: Any) -> None:
    """Ten updates of every weight, in the order scale, decay, rule, each by itself in Python floats."""
    build, settings, rule = RULES[name]
    schedule = schedules.Exponential(0.1, 0.8)
    options = {"weight_decay": decay, "regularization": regularization, "multipliers": multipliers}
    optimizer = build(schedule, **settings, **options)
    model = model_of()
    optimizer.bind(model)
    expected = {key: value.copy() for key, value in model.params.items()}
    states: dict[Any, State] = {}
    rng = np.random.default_rng(1)
    for t in range(1, 11):
        model.flat_grads[:] = rng.normal(size=model.flat_grads.size)
        kept = model.flat_grads.copy()
        optimizer.update(0.5)
        np.testing.assert_array_equal(model.flat_grads, kept)
        for key, weights in expected.items():
            rate, share = (multipliers or {}).get(key, (1.0, 1.0))
            for index in np.ndindex(weights.shape):
                w = float(weights[index])
                penalty = w if regularization == "l2" else float(np.sign(w))
                g = 0.5 * float(model.grads[key][index]) + decay * share * penalty
                state = states.setdefault((key, index), {})
                weights[index] = w - rule(g, state, 0.1 * 0.8 ** (t - 1) * rate, t)
    for key, weights in expected.items():
        np.testing.assert_allclose(model.params[key], weights, rtol=1e-12, atol=1e-14, err_msg=key)
    assert optimizer.updates == 10
    assert optimizer.last_learning_rate == pytest.approx(0.1 * 0.8**9, rel=1e-14)


def test_frozen_parameters_never_move_and_are_no_part_of_the_norm() -> None:
    model = model_of()
    optimizer = AdamW(0.1, multipliers={"0.weight": (0.0, 1.0)})
    optimizer.bind(model)
    before = model.params["0.weight"].copy()
    model.flat_grads[:] = 1.0
    model.grads["0.weight"] = np.full((3, 4), np.nan)
    assert optimizer.gradient_norm() == pytest.approx(math.sqrt(4 + 8 + 2), rel=1e-15)
    optimizer.update()
    np.testing.assert_array_equal(model.params["0.weight"], before)
    assert np.isfinite(model.flat_params).all()
    assert not np.array_equal(model.params["2.bias"], np.zeros(2))


def test_neighbours_with_equal_multipliers_share_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    update = reference.sgd_update
    monkeypatch.setattr(
        reference, "sgd_update", lambda p, *a, **k: (calls.append(p.size), update(p, *a, **k))
    )
    for multipliers, sizes in [
        ({}, [26]),
        ({"0.bias": (2.0, 0.0)}, [12, 4, 10]),
        ({"0.weight": (2.0, 0.0), "0.bias": (2.0, 0.0)}, [16, 10]),
        ({"0.bias": (0.0, 1.0), "2.weight": (1.0, 1.0)}, [12, 10]),
    ]:
        optimizer = SGD(0.1, multipliers=multipliers)
        optimizer.bind(model_of())
        calls.clear()
        optimizer.update()
        assert calls == sizes


def test_attributes_can_be_changed_while_training() -> None:
    model = model_of()
    optimizer = SGD(0.1)
    optimizer.bind(model)
    model.flat_grads[:] = 1.0
    before = model.flat_params.copy()
    optimizer.learning_rate = 0.5
    optimizer.multipliers = {"2.bias": (0.0, 0.0)}
    optimizer.update()
    moved = before - model.flat_params
    np.testing.assert_allclose(moved, [0.5] * 24 + [0.0] * 2, rtol=1e-15)
    with pytest.raises(ValueError, match=r"'2\.bios'"):
        optimizer.multipliers = {"2.bios": (0.0, 0.0)}
    assert optimizer.multipliers == {"2.bias": (0.0, 0.0)}


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_by_itself(twin: Any) -> None:
    first, second = model_of(), model_of()
    optimizer = Adam(0.1, multipliers={"0.bias": (2.0, 1.0)})
    optimizer.bind(first)
    first.flat_grads[:] = 1.0
    optimizer.update()
    second.load_params(first.params)
    second.flat_grads[:] = 1.0
    other = twin(optimizer)
    other.bind(second)
    optimizer.update()
    other.update()
    np.testing.assert_array_equal(first.flat_params, second.flat_params)
    assert other.updates == optimizer.updates == 2
    with pytest.raises(ValueError, match="float64 of shape"):
        copy.copy(optimizer).bind(mlp([2, 2], ops=reference))


def test_state_dict_moves_the_progress() -> None:
    first, second = model_of(), model_of()
    optimizer, other = Adam(0.1), Adam(0.1)
    optimizer.bind(first)
    other.bind(second)
    for _ in range(2):
        first.flat_grads[:] = 1.0
        optimizer.update()
    slot = other.slots["mean"]
    other.load_state_dict(optimizer.state_dict())
    assert other.slots["mean"] is slot
    np.testing.assert_array_equal(slot, optimizer.slots["mean"])
    assert (other.updates, other.last_learning_rate) == (2, 0.1)
    with pytest.raises(ValueError, match="expected \\['mean', 'square_mean'\\]"):
        other.load_state_dict({**optimizer.state_dict(), "slots": {}})
    wrong = {"mean": np.zeros(26), "square_mean": np.zeros(3)}
    with pytest.raises(ValueError, match="square_mean"):
        other.load_state_dict({**optimizer.state_dict(), "slots": wrong})
    np.testing.assert_array_equal(other.slots["mean"], optimizer.slots["mean"])


@pytest.mark.parametrize("name", BUILT_IN)
def test_config_and_repr_rebuild_it(name: str) -> None:
    optimizer = BUILT_IN[name](
        schedules.Step(0.1, 0.5, 3), weight_decay=0.25, multipliers={"0.bias": (2.0, 0.0)}
    )
    scope = {**vars(schedules), **BUILT_IN}
    for twin in (BUILT_IN[name](**optimizer.config()), eval(repr(optimizer), scope)):
        assert repr(twin) == repr(optimizer)
        assert twin.config() == optimizer.config()
    assert repr(BUILT_IN[name](0.5)) == f"{name}(0.5)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD(-1.0), ValueError, "learning_rate is -1.0"),
        (lambda: SGD("fast"), TypeError, "learning_rate is 'fast'"),
        (lambda: SGD(0.1, 1.0), ValueError, "momentum is 1.0"),
        (lambda: SGD(0.1, weight_decay=-1), ValueError, "weight_decay is -1"),
        (lambda: SGD(0.1, regularization="l3"), ValueError, "regularization is 'l3'.*l2"),
        (lambda: SGD(0.1, nesterov=1), TypeError, "nesterov is 1"),
        (lambda: Adam(beta2=1.5), ValueError, "beta2 is 1.5"),
        (lambda: RMSProp(0.1, epsilon=-1e-8), ValueError, "epsilon is -1e-08"),
        (lambda: SGD(0.1, multipliers=[1]), TypeError, "expected a mapping"),
        (lambda: SGD(0.1, multipliers={"0.bias": 2.0}), TypeError, r"expected a pair \(rate, decay\)"),
        (lambda: SGD(0.1, multipliers={"0.bias": (-1.0, 1.0)}), ValueError, "0.bias.*-1.0"),
    ],
)
def test_wrong_arguments_are_named(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_multiplier_without_a_parameter_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'0\.bios', not a parameter.*'0\.bias'"):
        SGD(0.1, multipliers={"0.bios": (1.0, 1.0)}).bind(model_of())


def test_an_optimizer_serves_one_model() -> None:
    optimizer, model = SGD(0.1), model_of()
    optimizer.bind(model)
    optimizer.bind(model)
    with pytest.raises(ValueError, match="belongs to another model"):
        optimizer.bind(model_of())


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), "overflow"])
def test_a_schedule_without_a_finite_rate_changes_nothing(rate: Any) -> None:
    model = model_of()
    schedule = schedules.Exponential(1.0, 1e300) if rate == "overflow" else lambda updates: rate
    optimizer = Adam(schedule)
    optimizer.bind(model)
    optimizer.updates = 5
    model.flat_grads[:] = 1.0
    before = model.flat_params.copy()
    with pytest.raises(ValueError, match=r"learning rate after 5 updates is (nan|inf)"):
        optimizer.update()
    np.testing.assert_array_equal(model.flat_params, before)
    assert not optimizer.slots["mean"].any()


# --- PyTorch ---


def torch_twin(torch: Any, model: Sequential) -> Any:
    net = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Linear(32, 5)).double()
    with torch.no_grad():
        for layer, place in ((net[0], 0), (net[2], 2)):
            layer.weight.copy_(torch.from_numpy(model.params[f"{place}.weight"].T.copy()))
            layer.bias.copy_(torch.from_numpy(model.params[f"{place}.bias"].copy()))
    return net


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (lambda: SGD(0.05, 0.9), "SGD", {"lr": 0.05, "momentum": 0.9}),
        (
            lambda: SGD(0.05, 0.9, weight_decay=1e-3),
            "SGD",
            {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3},
        ),
        (lambda: Adam(0.01), "Adam", {"lr": 0.01}),
        (lambda: Adam(0.01, weight_decay=1e-3), "Adam", {"lr": 0.01, "weight_decay": 1e-3}),
        (lambda: AdamW(0.01), "AdamW", {"lr": 0.01}),
        (lambda: RMSProp(0.01), "RMSprop", {"lr": 0.01}),
        (lambda: AdaGrad(0.05, epsilon=1e-10), "Adagrad", {"lr": 0.05}),
        (lambda: AdaDelta(1.0, rho=0.9), "Adadelta", {"lr": 1.0, "rho": 0.9}),
    ],
    ids=["sgd", "sgd_decay", "adam", "adam_decay", "adamw", "rmsprop", "adagrad", "adadelta"],
)
def test_two_hundred_steps_as_pytorch(ours: Any, theirs: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    rng = np.random.default_rng(3)
    model = mlp([20, 32, 5], dtype=np.float64, rng=1, ops=reference)
    net = torch_twin(torch, model)
    other = getattr(torch.optim, theirs)(net.parameters(), **options)
    trainer = Trainer(model, SoftmaxCrossEntropy(), ours())
    centres = rng.normal(size=(5, 20))
    for _ in range(200):
        labels = rng.integers(0, 5, 16)
        x = centres[labels] + rng.normal(size=(16, 20))
        loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(labels))
        other.zero_grad()
        loss.backward()
        other.step()
        assert trainer.step(x, labels) == pytest.approx(loss.item(), rel=0.0, abs=1e-9)
