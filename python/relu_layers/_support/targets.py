"""Targets and weights that are wrong, named by their place: not finite, out of range, of another shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from relu_layers._support.arrays import all_finite
from relu_layers._support.configured import Array

# What a loss compares with: an array, or columns and values.
Target = Array | tuple[Array, Array]

# How far the probabilities of a row may be from a sum of 1: float16 has such steps.
_SUM_TOLERANCE = 1e-2


def refuse_not_finite(owner: str, name: str, values: Array, before: int = 0) -> None:
    """Raise a ValueError that names the first number that is NaN or infinite; ``before`` rows come before these."""
    if values.dtype.kind == "f" and not all_finite(values):
        _refuse(owner, name, values, np.isfinite(values), "a finite number", before)


def refuse_outside(
    owner: str, name: str, values: Array, before: int = 0, ignored: float | None = None
) -> None:
    """Raise a ValueError that names the first number outside [0, 1] that is not ``ignored``."""
    good = (values >= 0) & (values <= 1)
    if ignored is not None:
        good |= values == ignored
    _refuse(owner, name, values, good, "a target in 0 .. 1", before)


def refuse_no_distribution(owner: str, name: str, values: Array, axis: int, before: int = 0) -> None:
    """Raise a ValueError that names the first row of probabilities that are negative or do not add up to 1."""
    _refuse(owner, name, values, values >= 0, "a probability", before)
    total = values.sum(axis=axis, dtype=np.float64)
    good = np.abs(total - 1.0) <= _SUM_TOLERANCE
    if not good.all():
        at = _first(good)
        place = _place(at, before)
        where = f" {name}{place}" if place else ""
        raise ValueError(
            f"{owner}: the probabilities of{where or f' {name}'} add up to {total[at]:g}, expected 1; for several "
            "labels a row take SigmoidCrossEntropy"
        )


def refuse_label(owner: str, labels: Array, bad: Array, classes: int, before: int = 0) -> None:
    """Raise an IndexError that names the first label that is ``bad``, a mask of them."""
    at = _first(~bad)
    raise IndexError(
        f"{owner}: y{_place(at, before)} is {labels[at]}, expected a label in 0 .. {classes - 1}"
    )


def _refuse(owner: str, name: str, values: Array, good: Array, expected: str, before: int) -> None:
    if not good.all():
        at = _first(good)
        raise ValueError(f"{owner}: {name}{_place(at, before)} is {values[at]:g}, expected {expected}")


def _first(good: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(~good)[0])


def _place(at: tuple[int, ...], before: int) -> str:
    return f"[{', '.join(map(str, (before + at[0], *at[1:])))}]" if at else ""


def refuse_other_shape(
    owner: str, outputs: tuple[int, ...], target: Array, *, class_axis: int | None = None
) -> None:
    """Raise a ValueError for targets that do not fit outputs, with the shape that was given and what to pass.

    Parameters
    ----------
    owner : str
        For the message.
    outputs : tuple of int
        The shape of all outputs, rows first.
    target : ndarray
        All targets, or what knows their shape and dtype.
    class_axis : int, keyword
        That of the classes, not negative, where integers are labels.
    """
    given = tuple(target.shape)
    if class_axis is not None and target.dtype.kind != "f":
        wanted, said = _without(outputs, class_axis), "labels, one for each row of outputs"
        advice = f": where they are one-hot, pass y.argmax(axis={class_axis})" if given == outputs else ""
    else:
        wanted, said, advice = outputs, "that of the outputs", ""
        if class_axis is not None and given == _without(outputs, class_axis):
            raise TypeError(
                f"{owner}: y has dtype {target.dtype} and shape {given}, expected integer labels: "
                "pass y.astype(np.int64)"
            )
    raise ValueError(
        f"{owner}: y has shape {given}, expected {wanted}, {said}{advice or _to_shape(given, wanted)}"
    )


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _to_shape(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if given == wanted[:1] and wanted[1:] == (1,):
        return ": pass y[:, None]"
    if given[:-1] == wanted and given[-1:] == (1,):
        return ": pass y[..., 0]" if len(given) > 2 else ": pass y[:, 0]"
    if len(given) == 1 and len(wanted) == 2 and given[0] == wanted[0]:
        return f"; the model has {wanted[1]} outputs for each row"
    return ""


def columns_and_values(owner: str, target: Target) -> tuple[Array | None, Array]:
    """Return the parts of a target ``(columns, values)``; of an array, None and itself."""
    if not isinstance(target, tuple):
        return None, target
    if len(target) != 2:
        raise ValueError(f"{owner}: target is a tuple of {len(target)}, expected (columns, values)")
    return target


def class_weights(owner: str, value: Any) -> Array:
    """Return class weights as an array; a mapping must name the classes 0, 1 and so on."""
    if isinstance(value, Mapping):
        if sorted(value, key=str) != sorted(range(len(value)), key=str):
            raise ValueError(
                f"{owner}: class_weight names the classes {', '.join(map(repr, value))}, "
                f"expected all from 0 to the last, such as {{0: 1.0, 1: 2.0}}"
            )
        value = [value[label] for label in range(len(value))]
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{owner}: class_weight is {value!r}, expected one number per class, such as [1.0, 2.0]"
        ) from None
