"""Optimizers: Caffe's six with its formulas, and AdamW. The arithmetic is in ``ops.*_update``.

An optimizer is bound to one model; it keeps its state in flat arrays that run parallel to
``model.flat_params``, and calls one op per stretch of parameters with equal multipliers: one call for the
whole model where there are none. A class states its op, the names of its state and its settings.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from relu_layers import schedules
from relu_layers._support.arguments import boolean, choice, fraction, integer, nearest, real
from relu_layers._support.arrays import zeros
from relu_layers._support.configured import Array, Configured
from relu_layers._support.usage import alone, still

__all__ = ["SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Optimizer", "RMSProp"]


class _Segment(NamedTuple):
    """Parameters that lie side by side and share their multipliers: views into every flat array."""

    param: Array
    grad: Array
    slots: tuple[Array, ...]
    rate: float
    decay: float


class Optimizer(Configured):
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float or schedule
        A schedule is called with the number of updates done so far.
    weight_decay : float
        Coupled decay, added to the gradient of every parameter, biases included, as in Caffe.
    regularization : {"l2", "l1"}
        Whether the decay is ``weight_decay * w`` or ``weight_decay * sign(w)``.
    multipliers : mapping of str to (float, float)
        ``{"0.bias": (rate, decay)}`` scales the learning rate and the decay of a parameter; a rate of 0
        freezes it, and its gradient then does not count in the clip norm.

    Attributes
    ----------
    slots : dict of str to ndarray
        State such as ``"velocity"``, each array parallel to ``model.flat_params``.
    """

    slots: dict[str, Array]
    slot_names: ClassVar[tuple[str, ...]] = ()
    # Of the ops namespace, called as op(param, grad, *slots, **settings, **common); the settings are attributes.
    op: ClassVar[str] = ""
    settings: ClassVar[tuple[str, ...]] = ()
    _configuration = ("_schedule", "_multipliers")

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float,
        regularization: str,
        multipliers: Mapping[str, tuple[float, float]] | None,
    ) -> None:
        self._model: Any = None
        self._segments: list[_Segment] = []
        self.slots = {}
        # In memory of their own, where captured steps write them too; no rate yet is NaN.
        self._updates = np.zeros(1, dtype=np.int64)
        self._last_rate = np.full(1, np.nan)
        self.learning_rate = learning_rate
        self.weight_decay = real(type(self).__name__, "weight_decay", weight_decay, minimum=0.0)
        self.regularization = choice(type(self).__name__, "regularization", regularization, ("l2", "l1"))
        self.multipliers = multipliers

    @property
    def shared_progress(self) -> tuple[Array, Array]:
        """Number of updates, int64 (1,), and last rate, float64 (1,), in the memory that captured steps write too."""
        return self._updates, self._last_rate

    @property
    def updates(self) -> int:
        """Updates done so far."""
        return int(self._updates[0])

    @updates.setter
    def updates(self, value: int) -> None:
        self._updates[0] = value

    @property
    def last_learning_rate(self) -> float | None:
        """The rate of the last update, before multipliers."""
        return None if math.isnan(self._last_rate[0]) else float(self._last_rate[0])

    @last_learning_rate.setter
    def last_learning_rate(self, value: float | None) -> None:
        self._last_rate[0] = math.nan if value is None else value

    @property
    def learning_rate(self) -> Any:
        """The schedule; a number that is assigned becomes `schedules.Constant`."""
        return self._schedule

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._schedule = schedules.as_schedule(type(self).__name__, "learning_rate", value)

    @property
    def multipliers(self) -> Mapping[str, tuple[float, float]]:
        """``{key: (rate, decay)}``, read-only; assign a whole mapping to change it."""
        return self._multipliers

    @multipliers.setter
    def multipliers(self, value: Mapping[str, tuple[float, float]] | None) -> None:
        checked = _checked_multipliers(type(self).__name__, value)
        if self._model is not None:
            self._check_keys(self._model, checked)
        self._multipliers = MappingProxyType(checked)
        if self._model is not None:
            self._segments = self._split(self._model)

    def bind(self, model: Any) -> None:
        """Allocate the state for ``model``, zeros; a ValueError names a multiplier that fits no parameter.

        An optimizer that is bound already keeps its state if ``model`` is the same, and refuses another. A
        copy of an optimizer keeps the copied state.
        """
        if self._model is model:
            return
        if self._model is not None:
            raise ValueError(
                f"{type(self).__name__}: this optimizer belongs to another model, make a new one"
            )
        self._check_keys(model, self._multipliers)
        like = model.flat_params
        for name, array in self.slots.items():
            self._check_slot(name, array, like)
        self.slots = self.slots or {name: zeros(like.shape, like.dtype) for name in self.slot_names}
        self._model = model
        self._segments = self._split(model)

    def _check_keys(self, model: Any, multipliers: Mapping[str, Any]) -> None:
        for key in multipliers:
            if key not in model.params:
                hint = nearest(key, model.params) or "; the keys are " + ", ".join(model.params)
                raise ValueError(f"{type(self).__name__}: multipliers names {key!r}, not a parameter{hint}")

    def _check_slot(self, name: str, array: Array, like: Array) -> None:
        if np.shape(array) != like.shape or array.dtype != like.dtype:
            raise ValueError(
                f"{type(self).__name__}: state {name!r} is {array.dtype} of shape {array.shape}, "
                f"but the model's parameters are {like.dtype} of shape {like.shape}"
            )

    def _split(self, model: Any) -> list[_Segment]:
        """Return the stretches of equal multipliers, frozen ones left out, in the order of the flat arrays."""
        sizes = [(key, array.size) for key, array in model.params.items()]
        segments: list[_Segment] = []
        start = 0
        for factors, group in groupby(sizes, key=lambda item: self._multipliers.get(item[0], (1.0, 1.0))):
            stop = start + sum(size for _, size in group)
            part = slice(start, stop)
            if stop > start and factors[0] != 0.0:
                slots = tuple(self.slots[name][part] for name in self.slot_names)
                segments.append(_Segment(model.flat_params[part], model.flat_grads[part], slots, *factors))
            start = stop
        return segments

    @property
    def learning_rate_now(self) -> float:
        """The learning rate of the next update; a ValueError if the schedule gives no finite number of at least 0."""
        try:
            rate = float(self._schedule(self.updates))
        except OverflowError:
            rate = math.inf
        if not 0.0 <= rate < math.inf:
            raise ValueError(
                f"{type(self).__name__}: the learning rate after {self.updates} updates is {rate}, "
                f"expected {'at least 0' if rate < 0.0 else 'a finite number'}; it comes from {self._schedule!r}"
            )
        return rate

    def gradient_norm(self) -> float:
        """Return the Euclidean norm of ``model.flat_grads``, frozen parameters left out."""
        return math.sqrt(sum(self._model.ops.sum_of_squares(segment.grad) for segment in self._segments))

    def update(self, grad_scale: float = 1.0) -> None:
        """Update ``model.flat_params`` from ``model.flat_grads * grad_scale``; the gradient is only read."""
        rate = self.learning_rate_now
        self._apply(rate, grad_scale)
        self._updates[0] += 1
        self._last_rate[0] = rate

    def _apply(self, rate: float, grad_scale: float) -> None:
        """Call the op on every stretch of parameters."""
        op, settings = getattr(self._model.ops, self.op), self._settings()
        for segment in self._segments:
            op(
                segment.param,
                segment.grad,
                *segment.slots,
                **settings,
                learning_rate=rate * segment.rate,
                weight_decay=self.weight_decay * segment.decay,
                grad_scale=grad_scale,
            )

    def _settings(self) -> dict[str, Any]:
        """Return what the op takes beside arrays, rate, decay and scale."""
        return {name: getattr(self, name) for name in self.settings}

    def state_dict(self) -> dict[str, Any]:
        """Return the progress: updates, the last rate, and the slots by name (the arrays themselves).

        While another thread trains the model it is a RuntimeError.
        """
        with still(self._model, "reading"):
            rate = self.last_learning_rate
            return {"updates": self.updates, "last_learning_rate": rate, "slots": dict(self.slots)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state_dict` returned; on a bound optimizer all slots must fit, or nothing changes."""
        owner = type(self).__name__
        updates = integer(owner, "updates", state["updates"], minimum=0)
        rate = state["last_learning_rate"]
        rate = None if rate is None else real(owner, "last_learning_rate", rate)
        slots = dict(state["slots"])
        if self._model is None:
            slots = {name: np.array(array) for name, array in slots.items()}
        elif slots.keys() != self.slots.keys():
            raise ValueError(f"{owner}: state has {sorted(slots)}, expected {sorted(self.slots)}")
        else:
            for name, array in slots.items():
                self._check_slot(name, array, self.slots[name])
        with alone(self._model, "filling"):
            if self._model is not None:
                for name, array in slots.items():
                    np.copyto(self.slots[name], array)
                slots = self.slots
            self.slots, self.updates, self.last_learning_rate = slots, updates, rate

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts unbound with a state of its own: the views would look into the old model's arrays.
        with still(self._model, "copying"):
            slots = {name: array.copy() for name, array in self.slots.items()}
            own: dict[str, Any] = {"slots": slots, "_multipliers": dict(self._multipliers)}
            own |= {"_updates": self._updates.copy(), "_last_rate": self._last_rate.copy()}
            return self.__dict__ | own | {"_model": None, "_segments": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._multipliers = MappingProxyType(self._multipliers)

    def __copy__(self) -> Optimizer:
        return copy.deepcopy(self)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, JSON-able; the schedule as `schedules.describe` gives it."""
        config = super().config()
        config["learning_rate"] = schedules.describe(self.learning_rate)
        config["multipliers"] = {key: list(pair) for key, pair in self.multipliers.items()}
        return config

    def __repr__(self) -> str:
        rate = self.learning_rate
        parts = [repr(rate.base) if type(rate) is schedules.Constant else repr(rate)]
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if name != "learning_rate" and value and value != parameter.default:
                parts.append(f"{name}={dict(value) if name == 'multipliers' else value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


class SGD(Optimizer):
    """``v = momentum * v + rate * g; w -= v``: the rate inside the velocity, as in Caffe.

    With ``nesterov=True``: ``w -= (1 + momentum) * v_new - momentum * v_old``.
    """

    op = "sgd_update"
    slot_names = ("velocity",)
    settings = ("momentum", "nesterov", "regularization")

    def __init__(
        self,
        learning_rate: Any,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.momentum = fraction("SGD", "momentum", momentum)
        self.nesterov = boolean("SGD", "nesterov", nesterov)


class AdaGrad(Optimizer):
    """``h += g**2; w -= rate * g / (sqrt(h) + epsilon)`` (Duchi et al. 2011)."""

    op = "adagrad_update"
    slot_names = ("square_sum",)
    settings = ("epsilon", "regularization")

    def __init__(
        self,
        learning_rate: Any,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.epsilon = real("AdaGrad", "epsilon", epsilon, minimum=0.0)


class RMSProp(Optimizer):
    """``h = rho * h + (1 - rho) * g**2; w -= rate * g / (sqrt(h) + epsilon)`` (Tieleman & Hinton 2012)."""

    op = "rmsprop_update"
    slot_names = ("square_mean",)
    settings = ("rho", "epsilon", "regularization")

    def __init__(
        self,
        learning_rate: Any,
        rho: float = 0.99,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.rho = fraction("RMSProp", "rho", rho)
        self.epsilon = real("RMSProp", "epsilon", epsilon, minimum=0.0)


class AdaDelta(Optimizer):
    """Zeiler 2012: ``u = g * sqrt((d + epsilon) / (h + epsilon)); w -= rate * u``.

    ``h`` and ``d`` are moving means of ``g**2`` and ``u**2`` with factor ``rho``.
    """

    op = "adadelta_update"
    slot_names = ("square_mean", "update_mean")
    settings = ("rho", "epsilon", "regularization")

    def __init__(
        self,
        learning_rate: Any = 1.0,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        self.rho = fraction("AdaDelta", "rho", rho)
        self.epsilon = real("AdaDelta", "epsilon", epsilon, minimum=0.0)


class Adam(Optimizer):
    """Kingma & Ba 2015: ``w -= rate * m_hat / (sqrt(v_hat) + epsilon)``, both means bias-corrected.

    ``epsilon_hat=True`` is the paper's other form, which Caffe uses: epsilon is added before the correction,
    ``w -= rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)``.
    """

    op = "adam_update"
    slot_names = ("mean", "square_mean")
    settings: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "epsilon", "epsilon_hat", "regularization")

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_hat: bool = False,
        *,
        weight_decay: float = 0.0,
        regularization: str = "l2",
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, regularization, multipliers)
        owner = type(self).__name__
        self.beta1 = fraction(owner, "beta1", beta1)
        self.beta2 = fraction(owner, "beta2", beta2)
        self.epsilon = real(owner, "epsilon", epsilon, minimum=0.0)
        self.epsilon_hat = boolean(owner, "epsilon_hat", epsilon_hat)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"step": self.updates + 1}


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov & Hutter 2019): ``w *= 1 - rate * weight_decay`` comes first."""

    op = "adamw_update"
    settings = ("beta1", "beta2", "epsilon", "epsilon_hat")

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_hat: bool = False,
        *,
        weight_decay: float = 0.01,
        multipliers: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        moments = beta1, beta2, epsilon, epsilon_hat
        super().__init__(learning_rate, *moments, weight_decay=weight_decay, multipliers=multipliers)


# Those that a checkpoint rebuilds.
_CLASSES = SGD, AdaGrad, RMSProp, AdaDelta, Adam, AdamW
BUILT_IN: dict[str, type[Optimizer]] = {optimizer.__name__: optimizer for optimizer in _CLASSES}


def _checked_multipliers(owner: str, value: Any) -> dict[str, tuple[float, float]]:
    """Return ``{key: (rate, decay)}`` with numbers that are at least 0."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{owner}: multipliers is {value!r}, expected a mapping such as {{'0.bias': (2.0, 0.0)}}"
        )
    checked = {}
    for key, pair in value.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{owner}: multipliers[{key!r}] is {pair!r}, expected a pair (rate, decay)")
        rate, decay = (real(owner, f"multipliers[{key!r}]", number, minimum=0.0) for number in pair)
        checked[key] = (rate, decay)
    return checked
