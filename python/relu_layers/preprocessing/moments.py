"""Mean and standard deviation of values that come in parts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from relu_layers.preprocessing.columns import Array

_BLOCK = 8192


class ColumnMoments:
    """Mean and standard deviation, the same to the last bit however the values are cut into parts.

    Each 8,192 values are summed around their own mean in float64; the sums of these blocks are added as fractions,
    which is exact, and neither overflows nor cancels.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high = math.inf, -math.inf
        self._sum = self._squares = Fraction(0)
        self._waiting: list[Array] = []
        self._waiting_count = 0

    def add(self, values: Array) -> None:
        """Add finite numbers."""
        if not values.size:
            return
        self.count += values.size
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._waiting.append(values.astype(np.float64))
        self._waiting_count += values.size
        if self._waiting_count >= _BLOCK:
            joined = np.concatenate(self._waiting)
            whole = len(joined) - len(joined) % _BLOCK
            for start in range(0, whole, _BLOCK):
                self._add_block(joined[start : start + _BLOCK])
            self._waiting = [joined[whole:]]
            self._waiting_count = len(joined) - whole

    def merge(self, other: ColumnMoments, fills: int, fill: float) -> None:
        """Add the values of ``other``, and ``fills`` times ``fill``; both sides take no more values after it."""
        self._finish()
        other._finish()
        self.count += other.count + fills
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._sum += other._sum + fills * Fraction(fill)
        self._squares += other._squares + fills * Fraction(fill) ** 2

    def mean_and_scale(self) -> tuple[float, float]:
        """Return mean and standard deviation; the scale of constant values is 1. Huge values stay finite."""
        if not self.count:
            return 0.0, 1.0
        if self.low == self.high:
            return self.low, 1.0
        self._finish()
        mean = self._sum / self.count
        variance = max(self._squares / self.count - mean**2, Fraction(0))
        exponent = math.frexp(max(abs(self.low), abs(self.high)))[1]
        scale = math.ldexp(math.sqrt(float(variance / Fraction(4) ** exponent)), exponent)
        return float(mean), scale or 1.0

    def _finish(self) -> None:
        if self._waiting_count:
            self._add_block(np.concatenate(self._waiting))
        self._waiting, self._waiting_count = [], 0

    def _add_block(self, values: Array) -> None:
        exponent = math.frexp(max(abs(float(values.min())), abs(float(values.max()))))[1]
        scaled = np.ldexp(values, -exponent)
        middle = Fraction(float(scaled.mean()))
        apart = scaled - float(middle)
        rest = Fraction(float(apart.sum()))
        unit = Fraction(2) ** exponent
        self._sum += (len(values) * middle + rest) * unit
        squares = Fraction(float(np.square(apart).sum())) + 2 * middle * rest + len(values) * middle**2
        self._squares += squares * unit**2
