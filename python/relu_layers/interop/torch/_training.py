"""Losses and optimizers of PyTorch as those of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from relu_layers import optimizers, schedules
from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array
from relu_layers.interop.torch._networks import Pair, layers_and_pairs
from relu_layers.losses import Huber, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError

_OWNER = "optimizer_from_torch"


def loss_from_torch(loss: Any) -> Loss:
    """Return the loss that computes the same as a PyTorch loss.

    Parameters
    ----------
    loss : torch.nn.CrossEntropyLoss, MSELoss, HuberLoss, SmoothL1Loss or BCEWithLogitsLoss
        With ``reduction`` "mean" or "sum".

    Returns
    -------
    SoftmaxCrossEntropy, SquaredError, Huber or SigmoidCrossEntropy
        Of a CrossEntropyLoss, the class axis is the last instead of place 1, the same for ``(batch, classes)``.
        Its default ``ignore_index=-100`` becomes no ignored label: a label -100 is then an IndexError.

    Raises
    ------
    ValueError
        Another loss or an option without a counterpart; the message names it and the nearest.
    """
    kinds = {
        nn.CrossEntropyLoss: _cross_entropy,
        nn.MSELoss: _mse,
        nn.HuberLoss: _huber,
        nn.SmoothL1Loss: _smooth_l1,
        nn.BCEWithLogitsLoss: _bce,
    }
    if not isinstance(loss, nn.Module):
        raise TypeError(
            f"loss_from_torch: loss is {loss!r}, expected a loss of torch.nn, such as nn.CrossEntropyLoss()"
        )
    kind = kinds.get(type(loss))
    if kind is None:
        name, names = type(loss).__name__, [each.__name__ for each in kinds]
        advice = {
            "NLLLoss": "it expects log-probabilities: leave LogSoftmax out and take nn.CrossEntropyLoss",
            "BCELoss": (
                "take nn.BCEWithLogitsLoss; the model may keep its final Sigmoid, which training leaves out"
            ),
        }.get(name, f"supported are {', '.join(names)}{nearest(name, names)}")
        raise ValueError(f"loss_from_torch: {name} has no counterpart here: {advice}")
    if loss.reduction not in ("mean", "sum"):
        raise ValueError(
            f"loss_from_torch: reduction is {loss.reduction!r}, expected 'mean' or 'sum': a loss here is one number"
        )
    return kind(loss)


def _cross_entropy(loss: Any) -> Loss:
    return SoftmaxCrossEntropy(
        class_weight=None if loss.weight is None else loss.weight.detach().cpu().tolist(),
        label_smoothing=loss.label_smoothing,
        ignore_label=None if loss.ignore_index == -100 else loss.ignore_index,
        normalization="valid" if loss.reduction == "mean" else "none",
    )


def _mse(loss: Any) -> Loss:
    return SquaredError(normalization="full" if loss.reduction == "mean" else "none")


def _huber(loss: Any) -> Loss:
    return Huber(float(loss.delta), "full" if loss.reduction == "mean" else "none")


def _smooth_l1(loss: Any) -> Loss:
    if loss.beta != 1.0:
        raise ValueError(
            f"loss_from_torch: SmoothL1Loss has beta {loss.beta:g}, which has no counterpart here; "
            "the nearest is nn.HuberLoss(delta=beta), which is beta times as large"
        )
    return _huber(nn.HuberLoss(loss.reduction, 1.0))


def _bce(loss: Any) -> Loss:
    for name in ("weight", "pos_weight"):
        if getattr(loss, name) is not None:
            raise ValueError(
                f"loss_from_torch: BCEWithLogitsLoss has a {name}, which has no counterpart here; "
                "the nearest is sample_weight of Trainer.fit, one weight per row"
            )
    return SigmoidCrossEntropy(normalization="full" if loss.reduction == "mean" else "none")


class _Kind(NamedTuple):
    """How one optimizer is converted."""

    build: Callable[..., optimizers.Optimizer]
    # PyTorch's hyperparameter -> name here; the rate and the decay are treated apart.
    settings: dict[str, str]
    # State there -> state here.
    slots: dict[str, str]
    # Options that must be off.
    off: tuple[str, ...]


def _betas(betas: tuple[float, float]) -> dict[str, float]:
    return {"beta1": float(betas[0]), "beta2": float(betas[1])}


_ADAM_SLOTS = {"exp_avg": "mean", "exp_avg_sq": "square_mean"}
_KINDS: dict[Any, _Kind] = {
    torch.optim.SGD: _Kind(
        optimizers.SGD,
        {"momentum": "momentum", "nesterov": "nesterov"},
        {"momentum_buffer": "velocity"},
        ("dampening",),
    ),
    torch.optim.Adam: _Kind(
        optimizers.Adam, {"betas": "", "eps": "epsilon"}, _ADAM_SLOTS, ("amsgrad", "decoupled_weight_decay")
    ),
    torch.optim.AdamW: _Kind(optimizers.AdamW, {"betas": "", "eps": "epsilon"}, _ADAM_SLOTS, ("amsgrad",)),
    torch.optim.RMSprop: _Kind(
        optimizers.RMSProp,
        {"alpha": "rho", "eps": "epsilon"},
        {"square_avg": "square_mean"},
        ("centered", "momentum"),
    ),
    torch.optim.Adagrad: _Kind(optimizers.AdaGrad, {"eps": "epsilon"}, {"sum": "square_sum"}, ()),
    torch.optim.Adadelta: _Kind(
        optimizers.AdaDelta,
        {"rho": "rho", "eps": "epsilon"},
        {"square_avg": "square_mean", "acc_delta": "update_mean"},
        (),
    ),
}


def optimizer_from_torch(optimizer: Any, module: Any, *, learning_rate: Any = None) -> optimizers.Optimizer:
    """Return the optimizer that goes on where a PyTorch optimizer of ``module`` is.

    Parameters
    ----------
    optimizer : torch.optim.SGD, Adam, AdamW, RMSprop, Adagrad or Adadelta
        Its state (momentum, moments, steps) comes along. Learning rates and decays that differ between
        parameter groups become ``multipliers``.
    module : torch.nn.Module
        What `from_torch` converted. A parameter with ``requires_grad=False``, or in no group, is frozen: its
        multiplier is 0.
    learning_rate : float or schedule, keyword
        The rate of the group with the highest rate from now on; needed where a scheduler of PyTorch drives the
        rates, which does not come along. None keeps the rates in force.

    Returns
    -------
    Optimizer
        For one model that `from_torch` made of ``module``.

    Raises
    ------
    ValueError
        An optimizer or an option without a counterpart (``dampening``, ``amsgrad``, ``maximize``, ``centered``,
        momentum in RMSprop), options that differ between groups, or parameters that are not the module's.

    Notes
    -----
    SGD here keeps the rate inside the velocity, as Caffe: the same path as PyTorch's while the rate is constant.
    When it changes, the old velocity keeps moving at the old rate here, and at the new one there.
    """
    kind = _KINDS.get(type(optimizer))
    if kind is None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"{_OWNER}: optimizer is {optimizer!r}, expected one of torch.optim")
        name, names = type(optimizer).__name__, [each.__name__ for each in _KINDS]
        raise ValueError(
            f"{_OWNER}: {name} has no counterpart here: supported are {', '.join(names)}{nearest(name, names)}"
        )
    groups = _checked_groups(optimizer, kind)
    _, pairs = layers_and_pairs(_OWNER, module)
    group_of = _group_of(optimizer, pairs)
    # The largest, so that no multiplier divides by 0.
    rate, decay = (max(float(group[name]) for group in groups) for name in ("lr", "weight_decay"))
    multipliers = {}
    for pair in pairs:
        group = group_of.get(pair.key)
        factors = (0.0, 0.0)
        if group is not None:
            factors = _share(float(group["lr"]), rate), _share(float(group["weight_decay"]), decay)
        if factors != (1.0, 1.0):
            multipliers[pair.key] = factors
    settings: dict[str, Any] = {"weight_decay": decay, "multipliers": multipliers or None}
    for theirs, ours in kind.settings.items():
        value = groups[0][theirs]
        settings |= {ours: value} if ours else _betas(value)
    result = kind.build(_rate(groups, rate, learning_rate), **settings)
    _carry_state(optimizer, kind, pairs, group_of, result)
    return result


def _share(value: float, largest: float) -> float:
    return value / largest if largest else 1.0


def _rate(groups: list[dict[str, Any]], rate: float, learning_rate: Any) -> Any:
    if learning_rate is not None:
        return learning_rate
    if any("initial_lr" in group for group in groups):
        raise ValueError(
            f"{_OWNER}: a scheduler drives the learning rate, which does not come along: "
            f"pass learning_rate, such as {rate!r} or a schedule of relu_layers.schedules"
        )
    slowdown = float(groups[0].get("lr_decay", 0.0))
    return schedules.Inverse(rate, slowdown, 1.0) if slowdown else rate


def _checked_groups(optimizer: Any, kind: _Kind) -> list[dict[str, Any]]:
    """Return the parameter groups, whose settings all have a counterpart."""
    groups: list[dict[str, Any]] = optimizer.param_groups
    name = type(optimizer).__name__
    for index, group in enumerate(groups):
        for option in ("maximize", *kind.off):
            if group.get(option):
                advice = "take AdamW" if option == "decoupled_weight_decay" else "leave it at its default"
                raise ValueError(
                    f"{_OWNER}: {option} is {group[option]!r} in group {index} of {name}, "
                    f"which has no counterpart here: {advice}"
                )
        for option in (*kind.settings, "lr_decay"):
            if group.get(option) != groups[0].get(option):
                raise ValueError(
                    f"{_OWNER}: {option} is {group[option]!r} in group {index} and {groups[0][option]!r} in "
                    "group 0; only learning rate and weight decay can differ between parameters"
                )
    return groups


def _group_of(optimizer: Any, pairs: Iterable[Pair]) -> dict[str, dict[str, Any]]:
    """Return the parameter group of every key that is trained."""
    keys = {id(pair.parameter): pair.key for pair in pairs}
    found = {}
    for index, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            if id(parameter) not in keys:
                raise ValueError(
                    f"{_OWNER}: group {index} has a parameter of shape {tuple(parameter.shape)} that is not one of "
                    "the module's: pass the module that the optimizer was made for"
                )
            if parameter.requires_grad:
                found[keys[id(parameter)]] = group
    return found


def _carry_state(
    optimizer: Any,
    kind: _Kind,
    pairs: list[Pair],
    group_of: dict[str, dict[str, Any]],
    result: optimizers.Optimizer,
) -> None:
    """Give the new optimizer the state of the old one, if it has any."""
    states = {pair.key: optimizer.state.get(pair.parameter) or {} for pair in pairs}
    if not any(states.values()):
        return
    steps = {int(state["step"]) for state in states.values() if "step" in state}
    if len(steps) > 1:
        raise ValueError(f"{_OWNER}: parameters have made {sorted(steps)} steps, expected one number for all")
    slots: dict[str, list[Array]] = {ours: [] for ours in kind.slots.values()}
    for pair in pairs:
        for theirs, ours in kind.slots.items():
            value = states[pair.key].get(theirs)
            array = np.zeros_like(pair.here(pair.parameter)) if value is None else pair.here(value)
            # SGD keeps the rate inside the velocity.
            factor = (
                float(group_of[pair.key]["lr"]) if theirs == "momentum_buffer" and value is not None else 1
            )
            slots[ours].append((array * array.dtype.type(factor)).ravel())
    result.load_state_dict(
        {
            "updates": steps.pop() if steps else 0,
            "last_learning_rate": None,
            "slots": {name: np.concatenate(parts) for name, parts in slots.items()},
        }
    )
