"""``read_solver``: a solver prototxt and its net as optimizer, schedule and trainer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relu_layers import optimizers, schedules
from relu_layers._support.arguments import nearest
from relu_layers._support.files import AnyPath
from relu_layers.formats.caffe._load import Net, load_net, read_message
from relu_layers.formats.caffe._net import State
from relu_layers.formats.caffe._schema import Message
from relu_layers.losses import Loss
from relu_layers.model import Sequential
from relu_layers.optimizers import Optimizer
from relu_layers.trainer import Trainer

_POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")
_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
_NET_FIELDS = ("train_net_param", "train_net", "net_param", "net")


@dataclass(frozen=True)
class Solver:
    """A solver prototxt and its net, as objects of this package.

    Attributes
    ----------
    model : Sequential
    loss : Loss
    optimizer : Optimizer
        With its schedule, decay and the multipliers of the net's layers.
    clip_norm : float or None
        ``clip_gradients``.
    accumulate : int
        ``iter_size``.
    max_iter : int
        Updates that Caffe would do.
    random_seed : int or None
    """

    model: Sequential
    loss: Loss
    optimizer: Optimizer
    clip_norm: float | None
    accumulate: int
    max_iter: int
    random_seed: int | None

    def trainer(self, **options: Any) -> Trainer:
        """Return a trainer of the model; the options are those of `relu_layers.Trainer` that the file has not."""
        return Trainer(
            self.model,
            self.loss,
            self.optimizer,
            clip_norm=self.clip_norm,
            accumulate=self.accumulate,
            **options,
        )


def read_solver(
    path: AnyPath,
    *,
    net: AnyPath | None = None,
    weights: AnyPath | None = None,
    **options: Any,
) -> Solver:
    """Return the training that a solver prototxt describes.

    Parameters
    ----------
    path : path-like
    net : path-like, keyword
        Takes the place of the net that the solver names. That one is looked for as written, from the present folder
        as Caffe does and from the solver's, and then by its name beside the solver.
    weights : path-like, keyword
        A caffemodel to start from.
    **options
        ``in_features``, ``dtype``, ``rng``, ``most_parameters`` of `load`; ``rng`` is ``random_seed`` by default.

    Raises
    ------
    ValueError
        A file is damaged, the net has no loss, or a type or policy is unknown.
    """
    where = os.fsdecode(path)
    message = read_message(where, "SolverParameter")
    source = os.fsdecode(net) if net is not None else _net(where, message)
    seed = message["random_seed"] if message["random_seed"] >= 0 else None
    loaded = load_net(
        source, None if weights is None else os.fsdecode(weights), _state(message), **{"rng": seed, **options}
    )
    try:
        return _solver(message, loaded, seed)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from None


def _state(message: Message) -> State:
    given = message.part("train_state")
    return State(given["phase"] or "TRAIN", given["level"], tuple(given["stage"]))


def _net(where: str, message: Message) -> str | Message:
    """Return the file or the message of the training net."""
    given = [name for name in _NET_FIELDS if name in message]
    if len(given) != 1:
        raise ValueError(
            f"{where}: it gives {' and '.join(given) or 'no net'}, expected one of {', '.join(_NET_FIELDS)}; "
            "net= takes its place"
        )
    found = message[given[0]]
    if isinstance(found, Message):
        return found
    folder = Path(where).parent
    tried = [Path(found), folder / found, folder / Path(found).name]
    try:
        return next(str(each) for each in tried if each.is_file())
    except (StopIteration, OSError):
        raise ValueError(f"{where}: the net {found!r} is not there, pass net=") from None


def _solver(message: Message, net: Net, seed: int | None) -> Solver:
    if net.loss is None:
        raise ValueError("the net has no loss in the training phase")
    clip = message["clip_gradients"]
    if clip == 0.0:
        raise ValueError(
            "clip_gradients is 0, which would leave no gradient, expected a number above 0, or -1 for none"
        )
    optimizer = _optimizer(message, dict(net.multipliers))
    # A trainer checks how these fit together; here the file is still known.
    solver = Solver(
        net.model,
        net.loss,
        optimizer,
        clip if clip > 0 else None,
        message["iter_size"],
        message["max_iter"],
        seed,
    )
    solver.trainer()
    return solver


def _schedule(message: Message) -> schedules.Schedule:
    """Return the schedule of lr_policy."""
    policy, base, gamma, power = (message[name] for name in ("lr_policy", "base_lr", "gamma", "power"))
    size = message["stepsize"]
    match policy:
        case "fixed":
            return schedules.Constant(base)
        case "step":
            return schedules.Step(base, gamma, size)
        case "exp":
            return schedules.Exponential(base, gamma)
        case "inv":
            return schedules.Inverse(base, gamma, power)
        case "multistep":
            return schedules.MultiStep(base, gamma, message["stepvalue"])
        case "poly":
            return schedules.Polynomial(base, power, message["max_iter"])
        case "sigmoid":
            return schedules.Sigmoid(base, gamma, size)
    raise ValueError(
        f"lr_policy is {policy!r}, expected one of {', '.join(_POLICIES)}{nearest(policy or '', _POLICIES)}"
    )


def _optimizer(message: Message, multipliers: dict[str, tuple[float, float]]) -> Optimizer:
    kind = message["type"]
    if "solver_type" in message:
        if "type" in message:
            raise ValueError("it gives both type and solver_type, expected one of them")
        kind = next(one for one in _TYPES if one.upper() == message["solver_type"])
    regularization = message["regularization_type"]
    if regularization not in ("L1", "L2"):
        raise ValueError(f"regularization_type is {regularization!r}, expected L1 or L2")
    rate, momentum, delta = _schedule(message), message["momentum"], message["delta"]
    common: dict[str, Any] = {
        "weight_decay": message["weight_decay"],
        "regularization": regularization.lower(),
        "multipliers": multipliers or None,
    }
    if kind in ("AdaGrad", "RMSProp") and momentum != 0.0:
        raise ValueError(f"momentum is {momentum}, expected 0: {kind} has none")
    match kind:
        case "SGD" | "Nesterov":
            return optimizers.SGD(rate, momentum, kind == "Nesterov", **common)
        case "AdaGrad":
            return optimizers.AdaGrad(rate, delta, **common)
        case "RMSProp":
            return optimizers.RMSProp(rate, message["rms_decay"], delta, **common)
        case "AdaDelta":
            return optimizers.AdaDelta(rate, momentum, delta, **common)
        case "Adam":
            return optimizers.Adam(rate, momentum, message["momentum2"], delta, epsilon_hat=True, **common)
    raise ValueError(
        f"solver type {kind!r} is unknown, expected one of {', '.join(_TYPES)}{nearest(kind, _TYPES)}"
    )
