"""What an optimizer is bound to: stretches of parameters that share their multipliers and their number of updates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from relu_layers import ops as native_ops
from relu_layers._support.configured import Array, Ops


class Segment:
    """Parameters that lie side by side and are updated by one call of the op: views into every flat array.

    ``missed`` is the number of the optimizer's updates that these parameters were frozen in.
    """

    __slots__ = ("decay", "grad", "missed", "ops", "param", "rate", "slots")

    def __init__(
        self,
        param: Array,
        grad: Array,
        slots: tuple[Array, ...],
        rate: float,
        decay: float,
        missed: int,
        ops: Ops,
    ) -> None:
        self.param, self.grad, self.slots = param, grad, slots
        self.rate, self.decay, self.missed, self.ops = rate, decay, missed, ops


class Target:
    """A model, or a pair of arrays: flat parameters and gradients, and what parts them by name."""

    __slots__ = ("flat_grads", "flat_params", "ops", "owner", "sizes")

    def __init__(
        self, owner: Any, flat_params: Array, flat_grads: Array, sizes: dict[str, int], ops: Ops
    ) -> None:
        self.owner, self.flat_params, self.flat_grads = owner, flat_params, flat_grads
        self.sizes, self.ops = sizes, ops

    def is_of(self, owner: Any) -> bool:
        """Return whether this is ``owner``: the same model, or a pair of the same arrays."""
        if isinstance(owner, tuple) and isinstance(self.owner, tuple):
            return len(owner) == 2 and all(a is b for a, b in zip(owner, self.owner, strict=True))
        return owner is self.owner


def targets_of(name: str, owners: tuple[Any, ...]) -> tuple[Target, ...]:
    """Return what ``owners``, models or pairs ``(param, grad)``, are made of; keys are as `Optimizer.bind` says.

    Raises
    ------
    TypeError
        Neither a model nor a pair of arrays, or of another dtype than the first.
    ValueError
        Nothing at all, arrays that do not fit together, or memory that is bound twice.
    """
    if not owners:
        raise ValueError(f"{name}: bind() takes at least one model or pair (param, grad)")
    targets = []
    for place, owner in enumerate(owners):
        prefix = f"{place}:" if len(owners) > 1 else ""
        if isinstance(owner, tuple):
            targets.append(_pair(name, place, owner))
        elif hasattr(owner, "flat_params"):
            sizes = {prefix + key: array.size for key, array in owner.params.items()}
            targets.append(Target(owner, owner.flat_params, owner.flat_grads, sizes, owner.ops))
        else:
            raise TypeError(f"{name}: bind got {owner!r}, expected a model or a pair (param, grad) of arrays")
    first = targets[0].flat_params.dtype
    for place, target in enumerate(targets):
        if target.flat_params.dtype != first:
            raise TypeError(
                f"{name}: bind got {target.flat_params.dtype} as number {place} and {first} as number 0, "
                "expected one dtype"
            )
        if any(np.may_share_memory(target.flat_params, other.flat_params) for other in targets[:place]):
            raise ValueError(f"{name}: bind got the same parameters twice, the second time as number {place}")
    return tuple(targets)


def _pair(name: str, place: int, pair: tuple[Any, ...]) -> Target:
    """Return an array of parameters and its gradient as a target."""
    what = f"{name}: bind got a pair as number {place}"
    if len(pair) != 2 or not all(isinstance(array, np.ndarray) for array in pair):
        raise TypeError(f"{what}, expected two arrays (param, grad)")
    param, grad = pair
    if param.dtype not in (np.float32, np.float64) or grad.dtype != param.dtype:
        raise TypeError(
            f"{what} of {param.dtype} and {grad.dtype}, expected float32 or float64, both the same"
        )
    if param.shape != grad.shape:
        raise ValueError(f"{what} of shapes {param.shape} and {grad.shape}, expected the same shape")
    if not (param.flags.c_contiguous and grad.flags.c_contiguous and param.flags.writeable):
        raise ValueError(f"{what}, expected C-contiguous arrays, the first of them writable")
    if np.may_share_memory(param, grad):
        raise ValueError(f"{what} that share memory, expected two arrays")
    return Target(pair, param.reshape(-1), grad.reshape(-1), {str(place): param.size}, native_ops)


def segments_of(
    targets: tuple[Target, ...],
    slots: Mapping[str, Array],
    multipliers: Mapping[str, tuple[float, float]],
    missed: Mapping[str, int],
) -> list[Segment]:
    """Return the stretches of equal multipliers, frozen ones left out, in the order of the flat arrays."""
    segments: list[Segment] = []
    before = 0
    for target in targets:
        start = 0

        def alike(item: tuple[str, int]) -> tuple[float, float, int]:
            return *multipliers.get(item[0], (1.0, 1.0)), missed.get(item[0], 0)

        for (rate, decay, absent), group in groupby(target.sizes.items(), key=alike):
            stop = start + sum(size for _, size in group)
            if stop > start and rate != 0.0:
                part, state = slice(start, stop), slice(before + start, before + stop)
                own = tuple(array[state] for array in slots.values())
                param, grad = target.flat_params[part], target.flat_grads[part]
                segments.append(Segment(param, grad, own, rate, decay, absent, target.ops))
            start = stop
        before += target.flat_params.size
    return segments
