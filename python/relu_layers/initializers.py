"""Initial values of parameters.

An initializer is any callable ``init(shape, fan_in, fan_out, rng, dtype) -> array``. Layers pass the fans,
because only they know what the axes of a stored array mean: a Dense weight is (in_features, out_features), so
fan_in is its first axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.arguments import choice, nearest, real
from relu_layers._support.configured import Array

# Text, not types: naming np.random.Generator would load numpy.random, which takes longer than the rest of the
# package.
Initializer: TypeAlias = "Callable[[tuple[int, ...], int, int, np.random.Generator, Any], Array]"
InitializerLike: TypeAlias = "str | float | Initializer"


class Scaled:
    """Draws with mean 0 and variance ``numerator / fan``.

    Parameters
    ----------
    numerator : float
        2 for He, 1 for LeCun and Glorot.
    fan : {"in", "average"}
        What the variance is divided by: fan_in, or the mean of fan_in and fan_out.
    distribution : {"normal", "uniform"}
        Gaussian (not truncated), or uniform on ``[-limit, limit)`` with ``limit = sqrt(3 * variance)``.

    Notes
    -----
    Values are drawn in float64 and rounded once, so a float32 and a float64 model with the same generator
    start from the same numbers. Sources: He et al. 2015 (eq. 10, forward case), Glorot and Bengio 2010 (eq.
    12 and 16), LeCun et al. 1998 (eq. 16). Caffe's ``msra`` filler is ``he_normal``, its ``xavier`` filler is
    ``lecun_uniform``.
    """

    def __init__(self, numerator: float, fan: str, distribution: str) -> None:
        self.numerator = real("Scaled", "numerator", numerator)
        if self.numerator <= 0:
            raise ValueError(f"Scaled: numerator is {numerator}, expected a number above 0")
        self.fan = choice("Scaled", "fan", fan, ("in", "average"))
        self.distribution = choice("Scaled", "distribution", distribution, ("normal", "uniform"))

    def _key(self) -> tuple[object, ...]:
        return Scaled, self.numerator, self.fan, self.distribution

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaled) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Scaled({self.numerator!r}, {self.fan!r}, {self.distribution!r})"

    def __call__(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
    ) -> Array:
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        deviation = math.sqrt(self.numerator / fan)
        if self.distribution == "normal":
            values = rng.standard_normal(shape) * deviation
        else:
            limit = math.sqrt(3.0) * deviation
            values = rng.uniform(-limit, limit, shape)
        return values.astype(dtype)


class Constant:
    """Every value is ``value``; nothing is drawn from the generator."""

    def __init__(self, value: float) -> None:
        self.value = real("Constant", "value", value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and other.value == self.value

    def __hash__(self) -> int:
        return hash((Constant, self.value))

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"

    def __call__(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
    ) -> Array:
        return np.full(shape, self.value, dtype=dtype)


he_normal = Scaled(2.0, "in", "normal")
he_uniform = Scaled(2.0, "in", "uniform")
glorot_normal = Scaled(1.0, "average", "normal")
glorot_uniform = Scaled(1.0, "average", "uniform")
lecun_normal = Scaled(1.0, "in", "normal")
lecun_uniform = Scaled(1.0, "in", "uniform")
zeros = Constant(0.0)

BUILT_IN: dict[str, Initializer] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "zeros": zeros,
}


def get(spec: InitializerLike, *, owner: str = "initializers.get", name: str = "spec") -> Initializer:
    """Return what ``spec`` means: a name of `BUILT_IN`, a number (constant), or a callable as it is."""
    if isinstance(spec, str):
        if spec in BUILT_IN:
            return BUILT_IN[spec]
        raise ValueError(
            f"{owner}: {name} is {spec!r}, expected one of {', '.join(BUILT_IN)}{nearest(spec, BUILT_IN)}"
        )
    if callable(spec):
        return spec
    return Constant(real(owner, name, spec))


def describe(initializer: Initializer) -> str | float:
    """Return what rebuilds ``initializer`` through `get`, JSON-able: its name, or the number of a constant.

    A user's own callable cannot be written to a file; it is described as ``"zeros"``, which is enough because
    a file also holds the values.
    """
    for name, known in BUILT_IN.items():
        if known == initializer:
            return name
    return initializer.value if isinstance(initializer, Constant) else "zeros"
