"""Mean and standard deviation of values that come in parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from relu_layers.preprocessing.columns import Array

_BLOCK = 8192
# Cells of several columns that are summed at once.
_CELLS_AT_ONCE = 2**17


class ColumnMoments:
    """Mean and standard deviation, the same to the last bit however the values are cut into parts.

    Each 8,192 values are summed around their own mean in float64; the sums of these blocks are added as whole numbers
    times powers of two, which is exact, and neither overflows nor cancels.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high = math.inf, -math.inf
        self._sum, self._squares = _Exact(), _Exact()
        self._waiting: list[Array] = []
        self._waiting_count = 0

    def add(self, values: Array) -> None:
        """Add finite numbers."""
        if values.size:
            self.add_between(values, float(values.min()), float(values.max()))

    def add_between(self, values: Array, low: float, high: float) -> None:
        """Add finite numbers, at least one, of which the smallest and the largest are known."""
        self.count += values.size
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._waiting.append(values.astype(np.float64))
        self._waiting_count += values.size
        if self._waiting_count >= _BLOCK:
            joined = _joined(self._waiting)
            whole = len(joined) - len(joined) % _BLOCK
            for sums in _block_sums(joined[:whole].reshape(-1, _BLOCK)):
                self._add_sums(_BLOCK, *sums)
            self._waiting = [joined[whole:]]
            self._waiting_count = len(joined) - whole

    def merge(self, other: ColumnMoments, fills: int, fill: float) -> None:
        """Add the values of ``other``, and ``fills`` times ``fill``; both sides take no more values after it."""
        finish([self, other])
        self.count += other.count + fills
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        number, power = _exact(fill)
        self._sum.add(other._sum.number, other._sum.power)
        self._sum.add(fills * number, power)
        self._squares.add(other._squares.number, other._squares.power)
        self._squares.add(fills * number**2, 2 * power)

    def mean_and_scale(self) -> tuple[float, float]:
        """Return mean and standard deviation; the scale of constant values is 1. Huge values stay finite."""
        if not self.count:
            return 0.0, 1.0
        if self.low == self.high:
            return self.low, 1.0
        finish([self])
        variance = _Exact()  # times the square of the count
        variance.add(self._squares.number * self.count, self._squares.power)
        variance.add(-(self._sum.number**2), 2 * self._sum.power)
        exponent = math.frexp(max(abs(self.low), abs(self.high)))[1]
        variance.power -= 2 * exponent
        scale = math.ldexp(math.sqrt(max(variance.over(self.count**2), 0.0)), exponent)
        return self._sum.over(self.count), scale or 1.0

    def _add_sums(self, count: int, exponent: int, middle: float, rest: float, squares: float) -> None:
        """Add ``count`` values of which `_block_sums` gave the rest."""
        whole, power = _exact(middle)
        part, part_power = _exact(rest)
        self._sum.add(count * whole, power + exponent)
        self._sum.add(part, part_power + exponent)
        number, number_power = _exact(squares)
        self._squares.add(number, number_power + 2 * exponent)
        self._squares.add(2 * whole * part, power + part_power + 2 * exponent)
        self._squares.add(count * whole**2, 2 * (power + exponent))


def finish(columns: Sequence[ColumnMoments]) -> None:
    """Add what waits for a whole block in each of the columns, of many of them at once."""
    by_length: dict[int, list[ColumnMoments]] = {}
    for column in columns:
        if column._waiting_count:
            by_length.setdefault(column._waiting_count, []).append(column)
    for length, waiting in by_length.items():
        at_once = max(_CELLS_AT_ONCE // length, 1)
        for start in range(0, len(waiting), at_once):
            group = waiting[start : start + at_once]
            rows = np.stack([_joined(column._waiting) for column in group])
            for column, sums in zip(group, _block_sums(rows), strict=True):
                column._add_sums(length, *sums)
                column._waiting, column._waiting_count = [], 0


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _block_sums(rows: Array) -> list[tuple[int, float, float, float]]:
    """Return of each row an exponent, and by ``2**exponent``: its mean, and sum and sum of squares around that."""
    exponents = np.frexp(np.maximum(np.abs(rows.min(axis=1)), np.abs(rows.max(axis=1))))[1]
    powers = -exponents[:, np.newaxis]
    # A product by a power of two rounds as ldexp does, at a tenth of the time, but 2**1024 is no number.
    ordinary = np.abs(powers).max() <= 1000
    scaled = rows * np.ldexp(1.0, powers) if ordinary else np.ldexp(rows, powers)
    middles = scaled.mean(axis=1)
    scaled -= middles[:, np.newaxis]
    rests = scaled.sum(axis=1)
    squares = np.square(scaled, out=scaled).sum(axis=1)
    return list(zip(exponents.tolist(), middles.tolist(), rests.tolist(), squares.tolist(), strict=True))


class _Exact:
    """A sum without rounding: ``number * 2**power``."""

    __slots__ = ("number", "power")

    def __init__(self) -> None:
        self.number = self.power = 0

    def add(self, number: int, power: int) -> None:
        """Add ``number * 2**power``."""
        if power < self.power:
            self.number <<= self.power - power
            self.power = power
        self.number += number << (power - self.power)

    def over(self, divisor: int) -> float:
        """Return the float nearest to the sum divided by ``divisor``."""
        if self.power >= 0:
            return (self.number << self.power) / divisor
        return self.number / (divisor << -self.power)


def _exact(value: float) -> tuple[int, int]:
    """Return ``number`` and ``power`` of a float that is ``number * 2**power``."""
    number, divisor = value.as_integer_ratio()
    return number, 1 - divisor.bit_length()
