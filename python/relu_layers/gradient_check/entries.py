"""The parts of a check: one entry with its verdict, the corner it may lie at, all entries of an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

VERDICTS = ("ok", "kink", "wrong")
# The part of an array's largest entry that an error may be.
AGREEMENT = 1e-8


def shown(thing: Any) -> str:
    """Return a layer or loss as messages show it: its repr, or its name where the repr is an address."""
    name = getattr(thing, "__name__", None)
    if isinstance(name, str):
        return name
    text = repr(thing)
    return type(thing).__name__ if text == object.__repr__(thing) else text


@dataclass(frozen=True)
class Kink:
    """The element that crosses its corner between the points of a difference.

    Attributes
    ----------
    layer, name : int, str
        Index and repr of the layer that has the corner.
    unit : int or tuple of int
        Index along the last axis of the layer's input (all axes but the first, if there are more).
    sample : int
        Index along the first axis.
    value : float
        The layer's input there.
    """

    layer: int
    name: str
    unit: int | tuple[int, ...]
    sample: int
    value: float

    def __str__(self) -> str:
        """Return where it is and how near, in words."""
        return f"unit {self.unit} of layer {self.layer}, {self.name}, sample {self.sample}: input {self.value:.3g}"


@dataclass(frozen=True)
class Entry:
    """One number of a gradient beside the central difference of the loss.

    Attributes
    ----------
    name, index : str, tuple of int
        ``"0.weight"`` or ``"x"``, and the place in that array.
    analytic, numeric : float
        What backward gives, and the difference of four points.
    absolute, relative : float
        Their difference, and that over the larger of the two (0 where both are 0).
    floor : float
        The part of ``absolute`` that rounding can explain: ``c * eps * |loss| / h`` in the difference, and what
        backward itself loses where its terms cancel.
    h : float
        The step: the points lie at -2h, -h, h and 2h.
    verdict : {"ok", "kink", "wrong"}
    kink : Kink or None
        The corner within the smallest step.
    """

    name: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    absolute: float
    relative: float
    floor: float
    h: float
    verdict: str
    kink: Kink | None = None

    @property
    def label(self) -> str:
        """Name and index as one writes them: ``0.weight[0, 2]``."""
        return f"{self.name}[{', '.join(map(str, self.index))}]"

    def __str__(self) -> str:
        """Return the entry in a line."""
        both = f"{self.label}: backward {self.analytic:.6g}, differences {self.numeric:.6g}"
        return both if self.kink is None else f"{both}; {self.kink}"


@dataclass(frozen=True)
class ArrayResult:
    """The entries of one array together: ``worst`` is the one whose error is largest relative to its tolerance."""

    name: str
    shape: tuple[int, ...]
    largest: float
    checked: int
    total: int
    ok: int
    kink: int
    wrong: int
    worst: Entry | None

    @property
    def allowed(self) -> float:
        """The error that the worst entry may have."""
        return math.nan if self.worst is None else max(AGREEMENT * self.largest, self.worst.floor)


def array_result(name: str, shape: tuple[int, ...], largest: float, entries: Sequence[Entry]) -> ArrayResult:
    own = [entry for entry in entries if entry.name == name]
    ok, kink, wrong = (sum(entry.verdict == kind for entry in own) for kind in VERDICTS)

    def excess(entry: Entry) -> float:
        share = entry.absolute / max(AGREEMENT * largest, entry.floor, 5e-324)
        return math.inf if math.isnan(share) else share

    # A kink's error counts only where there is nothing else.
    judged = [entry for entry in own if entry.verdict != "kink"] or own
    worst = max(judged, key=excess, default=None)
    return ArrayResult(name, shape, largest, len(own), math.prod(shape), ok, kink, wrong, worst)
