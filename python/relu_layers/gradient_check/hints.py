"""Patterns in wrong gradients, and the mistakes that make them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.gradient_check.entries import Entry

# Two numbers count as the same mistake if they agree this well; differences are good to 8 digits.
_SAME = 1e-5


def hints(entries: Sequence[Entry], gradients: dict[str, Array], batch: int) -> list[str]:
    """Return a line for each mistake that explains all wrong entries of some array."""
    found = []
    wrong: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.verdict == "wrong":
            wrong.setdefault(entry.name, []).append(entry)
    factor = _common_factor([entry for own in wrong.values() for entry in own])
    if factor is not None:
        found.append(_told_factor(factor, batch, sorted(wrong)))
    for name, own in wrong.items():
        smooth = [entry for entry in own if entry.kink is None]
        if len(smooth) > 1 and _is_transposed(smooth, gradients[name]):
            found.append(f"{name}: the gradient is that of the transposed array; x.T @ dy, or dy.T @ x?")
        elif factor is None and all(entry.analytic == 0.0 for entry in own):
            found.append(f"{name}: backward gives 0 where the loss changes; is this gradient filled at all?")
        elif not all(math.isfinite(entry.analytic) for entry in own):
            found.append(f"{name}: backward gives numbers that are not finite")
    corners = [entry for own in wrong.values() for entry in own if entry.kink is not None]
    if corners and len(corners) == sum(map(len, wrong.values())):
        found.append(
            "only entries at a corner are wrong: the derivative at x = 0 must be that of the side x <= 0, "
            "so the mask is x > 0, not x >= 0"
        )
    return found


def _common_factor(wrong: Sequence[Entry]) -> float | None:
    """Return the factor by which all of backward's numbers are too large, None if there is no such factor.

    Entries at a corner do not count: their differences mix two slopes.
    """
    wrong = [entry for entry in wrong if entry.kink is None]
    usable = [entry for entry in wrong if entry.numeric and math.isfinite(entry.numeric)]
    ratios = np.array([entry.analytic / entry.numeric for entry in usable])
    # Small entries have few digits left; the largest decide.
    sizes = np.array([abs(entry.numeric) for entry in usable])
    if len(ratios) < 2 or len(usable) < len(wrong):
        return None
    ratio = float(ratios[int(np.argmax(sizes))])
    spread = np.abs(ratios - ratio) * sizes
    same = bool(np.all(spread <= _SAME * abs(ratio) * sizes.max())) and bool(
        np.all(np.abs(ratios - ratio) <= 1e-2 * abs(ratio))
    )
    return ratio if same and math.isfinite(ratio) and ratio != 0.0 else None


def _told_factor(factor: float, batch: int, names: list[str]) -> str:
    arrays = ", ".join(names)
    if factor < 0.0 and abs(factor + 1.0) < _SAME:
        return f"{arrays}: every gradient has the wrong sign"
    if batch > 1 and abs(factor / batch - 1.0) < _SAME:
        return (
            f"{arrays}: every gradient is {batch} times too large, as many as there are rows; "
            "is the division by the batch missing in backward?"
        )
    if batch > 1 and abs(factor * batch - 1.0) < _SAME:
        return f"{arrays}: every gradient is {batch} times too small; is it divided by the batch twice?"
    return f"{arrays}: every gradient is {factor:.6g} times what it should be"


def _is_transposed(wrong: Sequence[Entry], gradient: Array) -> bool:
    """Return whether each difference is the gradient of the mirrored entry."""
    if gradient.ndim != 2 or gradient.shape[0] != gradient.shape[1]:
        return False
    size = max(abs(entry.numeric) for entry in wrong)
    return all(abs(gradient[entry.index[::-1]] - entry.numeric) <= _SAME * size for entry in wrong)
