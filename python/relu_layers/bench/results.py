"""The results of a run as plain values, the only source of table, JSON file and figure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from relu_layers._support.files import write_text
from relu_layers.bench.cases import Case
from relu_layers.bench.opponents import OPPONENTS, OURS
from relu_layers.bench.roofline import Limits

SCHEMA = 1


@dataclass(frozen=True)
class Timing:
    """Nanoseconds of one call (one step) over ``rounds`` blocks of ``calls``: median, quartiles, fastest block."""

    median: float
    lower: float
    upper: float
    fastest: float
    rounds: int
    calls: int

    @classmethod
    def of(cls, times: list[float], calls: int) -> Timing:
        """Return the statistics of nanoseconds per call."""
        lower, median, upper = np.quantile(times, [0.25, 0.5, 0.75]).tolist()
        return cls(median, lower, upper, min(times), len(times), calls)

    @property
    def spread(self) -> float:
        """Return half the distance of the quartiles over the median."""
        return (self.upper - self.lower) / (2 * self.median)


@dataclass
class Cell:
    """One case: its bound in nanoseconds, the times, and why there is none of the others."""

    case: Case
    bound: float
    times: dict[str, Timing] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> Timing | None:
        """Return this package's time."""
        return self.times.get(OURS)

    def lost_to(self) -> list[tuple[str, float]]:
        """Return the opponents that were faster and how much less time they took, the fastest first."""
        ours = self.ours
        if ours is None:
            return []
        faster = [
            (name, ours.median / time.median)
            for name, time in self.times.items()
            if name != OURS and time.median < ours.median
        ]
        return sorted(faster, key=lambda each: -each[1])

    def within_spread(self, name: str) -> bool:
        """Return whether the quartiles of this package and an opponent overlap."""
        ours, other = self.times[OURS], self.times[name]
        return ours.lower <= other.upper and other.lower <= ours.upper


@dataclass
class Report:
    """A whole run."""

    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    absent: dict[str, str]
    settings: dict[str, Any]
    limits: Limits
    cells: list[Cell] = field(default_factory=list)

    def lost(self) -> list[tuple[Cell, str, float]]:
        """Return the cells where an opponent was faster, the worst first: cell, opponent, our time over theirs."""
        found = [(cell, *cell.lost_to()[0]) for cell in self.cells if cell.lost_to()]
        return sorted(found, key=lambda each: -each[2])

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file; `SCHEMA` counts its incompatible changes."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "settings": self.settings,
            "limits": self.limits.to_dict(),
            "opponents": {
                name: {
                    "title": OPPONENTS[name].title,
                    "versions": self.versions.get(name, {}),
                    "absent": self.absent.get(name),
                }
                for name in (*self.versions, *(name for name in self.absent if name not in self.versions))
            },
            "cells": [_cell(cell) for cell in self.cells],
            "lost": [
                {
                    "name": cell.case.name,
                    "dtype": cell.case.dtype,
                    "opponent": name,
                    "times_slower": ratio,
                    "within_spread": cell.within_spread(name),
                }
                for cell, name, ratio in self.lost()
            ],
        }

    def save(self, path: Path) -> None:
        """Write the JSON file, as a whole."""
        text = json.dumps(self.to_dict(), indent=1) + "\n"
        write_text(path, text)


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **cell.case.to_dict(),
        "name": cell.case.name,
        "bound_ns": cell.bound,
        "times": {
            name: {
                "median_ns": time.median,
                "lower_quartile_ns": time.lower,
                "upper_quartile_ns": time.upper,
                "fastest_ns": time.fastest,
                "rounds": time.rounds,
                "calls_per_block": time.calls,
                "over_bound": time.median / cell.bound,
            }
            for name, time in cell.times.items()
        },
        "reasons": cell.reasons,
    }
