"""The base of the optimizers.

An optimizer is bound to what it updates; it keeps its state in flat arrays that run parallel to the parameters, and
calls one op per stretch of parameters with equal multipliers: one call for a whole model where there are none.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from relu_layers import _core, schedules
from relu_layers import ops as native_ops
from relu_layers._support.arguments import choice, integer, nearest, real
from relu_layers._support.arrays import zeros
from relu_layers._support.configured import Array, Configured
from relu_layers._support.phases import NORM, UPDATE
from relu_layers._support.usage import alone, still
from relu_layers.optimizers.bound import Segment, Target, segments_of, targets_of

_INFINITE = math.inf
# The module of the rules, whose arithmetic is known: a subclass may do anything.
_RULES = "relu_layers.optimizers.rules"


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
        freezes it: its gradient does not count in the clip norm, and a trainer does not compute it where a
        layer's parameters are all frozen.

    Attributes
    ----------
    slots : dict of str to ndarray
        State such as ``"velocity"``, each array parallel to ``model.flat_params`` (of all that is bound, in order).
    """

    slots: dict[str, Array]
    slot_names: ClassVar[tuple[str, ...]] = ()
    # Of the ops namespace, called as op(param, grad, *slots, **settings, **common); the settings are attributes.
    op: ClassVar[str] = ""
    settings: ClassVar[tuple[str, ...]] = ()
    _configuration = ("_multipliers", "_missed")
    _live: ClassVar[dict[str, str]] = {"learning_rate": "_schedule"}
    _FIXED: ClassVar[Mapping[str, str]] = {
        "slots": "write optimizer.slots[name][:] = values, or optimizer.load_state_dict(state)"
    }

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float,
        regularization: str,
        multipliers: Mapping[str, tuple[float, float]] | None,
    ) -> None:
        self._targets: tuple[Target, ...] = ()
        self._segments: list[Segment] = []
        # A captured update, and the segments that were updated without one before.
        self._replay: _core.UpdateReplay | None = None
        self._replayable: list[Segment] | None = None
        # By parameter: the updates it was frozen in, and, while it is, the update that froze it.
        self._missed: dict[str, int] = {}
        self._frozen_at: dict[str, int] = {}
        self.slots = {}
        # In memory of their own, where captured steps write them too; no rate yet is NaN.
        self._updates = np.zeros(1, dtype=np.int64)
        self._last_rate = np.full(1, np.nan)
        self._schedule: Any = None
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
        rate: float = self._last_rate.item()
        return rate if rate == rate else None

    @last_learning_rate.setter
    def last_learning_rate(self, value: float | None) -> None:
        self._last_rate[0] = math.nan if value is None else value

    @property
    def learning_rate(self) -> Any:
        """The schedule; a number that is assigned becomes `schedules.Constant`. Assigning costs no new capture."""
        if isinstance(self._schedule, float):
            self._schedule = schedules.Constant(self._schedule)
        return self._schedule

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        # A number stays one until the schedule is read: a loop may assign it before every step.
        if type(value) is float and 0.0 < value < _INFINITE:
            self._schedule = value
        else:
            self._schedule = schedules.as_schedule(type(self).__name__, "learning_rate", value)

    @property
    def schedule_type(self) -> type:
        """The class of the schedule."""
        return schedules.Constant if isinstance(self._schedule, float) else type(self._schedule)

    @property
    def multipliers(self) -> Mapping[str, tuple[float, float]]:
        """``{key: (rate, decay)}``, read-only; assign a whole mapping to change it."""
        return self._multipliers

    @multipliers.setter
    def multipliers(self, value: Mapping[str, tuple[float, float]] | None) -> None:
        checked = _checked_multipliers(type(self).__name__, value)
        if self._targets:
            self._check_keys(self._targets, checked)
        self._multipliers = MappingProxyType(checked)
        self._note_frozen()
        self._segments = self._split()

    def _note_frozen(self) -> None:
        """Count for every parameter the updates that it is frozen in: its own steps start with its thaw."""
        frozen = {key for key, (rate, _) in self._multipliers.items() if rate == 0.0}
        missed = dict(self._missed)
        for key in self._frozen_at.keys() - frozen:
            missed[key] = missed.get(key, 0) + self.updates - self._frozen_at.pop(key)
        for key in frozen - self._frozen_at.keys():
            self._frozen_at[key] = self.updates
        self._missed = {key: count for key, count in missed.items() if count}

    def bind(self, *owners: Any) -> None:
        """Allocate the state for what the optimizer is to update, zeros.

        Parameters
        ----------
        *owners : Sequential or (param, grad)
            Models, and pairs of equal C-contiguous arrays of any shape: parameters outside a model, with the array
            that their gradient is written to. All of one dtype.

        Raises
        ------
        ValueError
            A multiplier names no parameter. The optimizer is bound to something else already: bound to the same
            again it keeps its state.

        Notes
        -----
        Keys of `multipliers` are a single model's (``"0.bias"``); of several owners they begin with the place, as
        ``"1:0.bias"``; a pair's key is its place, ``"1"``. A copy of an optimizer is unbound and keeps the state.
        """
        if self._targets:
            same = len(owners) == len(self._targets)
            if same and all(t.is_of(owner) for t, owner in zip(self._targets, owners, strict=True)):
                return
            raise ValueError(
                f"{type(self).__name__}: this optimizer belongs to another model, make a new one"
            )
        targets = targets_of(type(self).__name__, owners)
        self._check_keys(targets, self._multipliers)
        shape, dtype = (sum(t.flat_params.size for t in targets),), targets[0].flat_params.dtype
        for name, array in self.slots.items():
            self._check_slot(name, array, shape, dtype)
        self._keep(self.slots or {name: zeros(shape, dtype) for name in self.slot_names})
        self._targets = targets
        self._segments = self._split()

    def _bound(self) -> list[Segment]:
        """Return the stretches that an update changes; a RuntimeError if nothing is bound."""
        if not self._targets:
            raise RuntimeError(
                f"{type(self).__name__}: nothing to update; call bind(model) first, or bind(model, (param, grad))"
            )
        return self._segments

    def _check_keys(self, targets: tuple[Target, ...], multipliers: Mapping[str, Any]) -> None:
        known = [key for target in targets for key in target.sizes]
        for key in multipliers:
            if key not in known:
                hint = nearest(key, known) or "; the keys are " + ", ".join(known)
                raise ValueError(f"{type(self).__name__}: multipliers names {key!r}, not a parameter{hint}")

    def _check_slot(self, name: str, array: Array, shape: tuple[int, ...], dtype: Any) -> None:
        if np.shape(array) != shape or array.dtype != dtype:
            raise ValueError(
                f"{type(self).__name__}: state {name!r} is {array.dtype} of shape {array.shape}, "
                f"but the model's parameters are {dtype} of shape {shape}"
            )

    def _split(self) -> list[Segment]:
        self._replay = None
        return segments_of(self._targets, self.slots, self._multipliers, self._missed)

    def frozen(self, model: Any) -> frozenset[str]:
        """Return the keys of ``model.params`` that an update leaves alone: those with a rate of 0."""
        if not self._multipliers or len(self._targets) != 1 or self._targets[0].owner is not model:
            return frozenset()
        return frozenset(key for key, (rate, _) in self._multipliers.items() if rate == 0.0)

    @property
    def learning_rate_now(self) -> float:
        """The learning rate of the next update; a ValueError if the schedule gives no finite number of at least 0."""
        if isinstance(self._schedule, float):
            return self._schedule
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
        """Return the Euclidean norm of the gradients, frozen parameters left out."""
        return math.sqrt(sum(segment.ops.sum_of_squares(segment.grad) for segment in self._bound()))

    def update(self, grad_scale: float = 1.0, *, clip_norm: float | None = None) -> float | None:
        """Update the parameters from ``grad_scale`` times their gradients, which are only read.

        Parameters
        ----------
        grad_scale : float
            Such as 1 / n for the mean over n batches whose gradients were added.
        clip_norm : float or None, keyword
            Largest norm: larger gradients are scaled down to it before ``grad_scale``, as a trainer does.

        Returns
        -------
        float or None
            The norm that was compared with ``clip_norm``; None without it.

        Raises
        ------
        RuntimeError
            Nothing is bound, see `bind`.
        ValueError
            The rate or the norm is not finite; nothing has changed.
        """
        schedule, norm = self._schedule, None
        segments = self._segments if self._targets else self._bound()
        rate = schedule if type(schedule) is float else self.learning_rate_now
        if clip_norm is not None and real(type(self).__name__, "clip_norm", clip_norm) <= 0.0:
            raise ValueError(f"{type(self).__name__}: clip_norm is {clip_norm}, expected above 0, or None")
        if self._replay is not None:
            replayed = self._replay.update(rate, grad_scale, clip_norm or 0.0)
            if replayed >= 0.0:
                return None if clip_norm is None else replayed
        self._consider(segments)
        if clip_norm is not None:
            owner = type(self).__name__
            norm = self.gradient_norm()
            if not math.isfinite(norm):
                raise ValueError(f"{owner}: the gradient norm is {norm}, expected a finite number")
            if norm > clip_norm:
                grad_scale *= clip_norm / norm
        self._apply(segments, rate, grad_scale)
        for target in self._targets:
            if not isinstance(target.owner, tuple):
                target.owner.exclusive().parameters_changed()
        self._updates[0] += 1
        self._last_rate[0] = rate
        return norm

    def _consider(self, segments: list[Segment]) -> None:
        """Capture the update if it may come again."""
        self._replay = None
        if self._replayable is not segments or type(self).__module__ != _RULES:
            self._replayable = segments  # not before the second update of these
            return
        if any(segment.ops is not native_ops for segment in segments):
            return
        capture = _core.Capture(None, None, None, None)
        try:
            capture.start(NORM)
            if capture.failure is None:  # else another thread is recording, and what follows would be done
                self.gradient_norm()
                capture.start(UPDATE)
                self._apply(segments, 1.0, 1.0)
        except (TypeError, ValueError):
            return
        finally:
            capture.stop()
        if capture.failure is None:
            guards = [t.owner.exclusive() for t in self._targets if not isinstance(t.owner, tuple)]
            self._replay = _core.UpdateReplay(capture, guards, self._updates, self._last_rate, [self])

    def _apply(self, segments: list[Segment], rate: float, grad_scale: float) -> None:
        """Call the op on every stretch of parameters."""
        settings = self._settings()
        for segment in segments:
            own = settings if not segment.missed else self._settings(segment.missed)
            getattr(segment.ops, self.op)(
                segment.param,
                segment.grad,
                *segment.slots,
                **own,
                learning_rate=rate * segment.rate,
                weight_decay=self.weight_decay * segment.decay,
                grad_scale=grad_scale,
            )

    def _settings(self, missed: int = 0) -> dict[str, Any]:
        """Return what the op takes beside arrays, rate, decay and scale, for parameters that missed updates."""
        return {name: getattr(self, name) for name in self.settings}

    @contextmanager
    def _models(self, use: Any, what: str) -> Iterator[None]:
        """Enter `still` or `alone` for every model that is bound."""
        with ExitStack() as stack:
            for target in self._targets:
                if not isinstance(target.owner, tuple):
                    stack.enter_context(use(target.owner, what))
            yield

    def _missed_now(self) -> dict[str, int]:
        """Return for every parameter that was ever frozen how many updates it missed so far."""
        counts = dict(self._missed)
        for key, since in self._frozen_at.items():
            counts[key] = counts.get(key, 0) + self.updates - since
        return {key: count for key, count in counts.items() if count}

    def state_dict(self) -> dict[str, Any]:
        """Return the progress: updates, the last rate, and the slots by name (the arrays themselves).

        ``"missed"`` is there where parameters were frozen: the updates that each missed. While another thread
        trains the model it is a RuntimeError.
        """
        with self._models(still, "reading"):
            rate, missed = self.last_learning_rate, self._missed_now()
            state = {"updates": self.updates, "last_learning_rate": rate, "slots": dict(self.slots)}
            return {**state, "missed": missed} if missed else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state_dict` returned; on a bound optimizer all slots must fit, or nothing changes."""
        owner = type(self).__name__
        updates = integer(owner, "updates", state["updates"], minimum=0)
        rate = state["last_learning_rate"]
        rate = None if rate is None else real(owner, "last_learning_rate", rate)
        slots = dict(state["slots"])
        missed = {
            str(key): integer(owner, f"missed[{key!r}]", count, minimum=0)
            for key, count in dict(state.get("missed", {})).items()
        }
        if not self._targets:
            slots = {name: np.array(array) for name, array in slots.items()}
        elif slots.keys() != self.slots.keys():
            raise ValueError(f"{owner}: state has {sorted(slots)}, expected {sorted(self.slots)}")
        else:
            for name, array in slots.items():
                own = self.slots[name]
                self._check_slot(name, array, own.shape, own.dtype)
        with self._models(alone, "filling"):
            if self._targets:
                for name, array in slots.items():
                    np.copyto(self.slots[name], array)
                slots = self.slots
            self._keep(slots)
            self.updates, self.last_learning_rate = updates, rate
            self._missed = self._missed if missed == self._missed else missed
            self._frozen_at = dict.fromkeys(self._frozen_at, updates)
            self._segments = self._split()

    def _keep(self, slots: dict[str, Array]) -> None:
        """Make these the arrays of the state, which nobody else may replace: segments and captures look into them."""
        del self.slots
        self.slots = slots

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts unbound with a state of its own: the views would look into the old model's arrays.
        with self._models(still, "copying"):
            slots = {name: array.copy() for name, array in self.slots.items()}
            own: dict[str, Any] = {"slots": slots, "_multipliers": dict(self._multipliers)}
            own |= {"_updates": self._updates.copy(), "_last_rate": self._last_rate.copy()}
            own |= {"_missed": dict(self._missed), "_frozen_at": dict(self._frozen_at)}
            own |= {"_replay": None, "_replayable": None}
            return self.__dict__ | own | {"_targets": (), "_segments": []}

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
