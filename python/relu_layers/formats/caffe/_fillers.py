"""Caffe's fillers as initializers, and initializers as fillers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relu_layers import initializers
from relu_layers._support.arguments import nearest, real
from relu_layers._support.configured import Array
from relu_layers.formats.caffe._schema import Message
from relu_layers.initializers import Constant, Initializer, Scaled

FILLERS = ("constant", "gaussian", "uniform", "xavier", "msra", "positive_unitball")


class Gaussian:
    """Normal values; drawn in float64 and rounded once, as all initializers do.

    With ``sparse`` a value stays with probability ``sparse / outputs`` and is 0 otherwise, where outputs is the
    length of the blob's first axis: fan_out, or fan_in of a stored transpose.
    """

    def __init__(self, mean: float, std: float, sparse: int = -1, *, transposed: bool = False) -> None:
        self.mean, self.std, self.sparse, self.transposed = mean, std, sparse, transposed

    def __repr__(self) -> str:
        more = f", sparse={self.sparse}" if self.sparse >= 0 else ""
        return f"Gaussian({self.mean!r}, {self.std!r}{more})"

    def __call__(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
    ) -> Array:
        values = self.mean + self.std * rng.standard_normal(shape)
        if self.sparse >= 0:
            outputs = shape[0] if len(shape) == 1 else fan_in if self.transposed else fan_out
            if self.sparse > outputs:
                raise ValueError(f"a gaussian filler with sparse: {self.sparse} of {outputs} outputs")
            values = np.where(rng.random(shape) * outputs < self.sparse, values, 0.0)
        return values.astype(dtype)


class Uniform:
    """Values that are uniform on ``[low, high)``."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __repr__(self) -> str:
        return f"Uniform({self.low!r}, {self.high!r})"

    def __call__(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
    ) -> Array:
        return rng.uniform(self.low, self.high, shape).astype(dtype)


class PositiveUnitBall:
    """Values in [0, 1) divided by their sum along ``axis`` of a weight; a vector is all ones."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def __call__(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
    ) -> Array:
        if len(shape) < 2:
            return np.ones(shape, dtype=dtype)
        # Above 0, so that no sum is 0.
        values = 1.0 - rng.uniform(size=shape)
        return np.asarray(values / values.sum(axis=self.axis, keepdims=True)).astype(dtype)


class WithFans:
    """An initializer with the fans that Caffe counts on its blob.

    Parameters
    ----------
    initializer : initializer
    fans : {"swapped", "vector"}
        Those of a stored transpose, or of a blob with one axis: 1 in, its length out.
    """

    def __init__(self, initializer: Initializer, fans: str) -> None:
        self.initializer, self.fans = initializer, fans

    def __call__(
        self, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
    ) -> Array:
        if self.fans == "swapped":
            return self.initializer(shape, fan_out, fan_in, rng, dtype)
        return self.initializer(shape, 1, math.prod(shape), rng, dtype)


def initializer_of(filler: Message, *, transposed: bool = False, vector: bool = False) -> Initializer:
    """Return the initializer for a FillerParameter.

    Parameters
    ----------
    filler : Message
    transposed : bool
        Whether the blob is (in, out), on which Caffe counts the fans the other way round.
    vector : bool
        Whether the blob has one axis.
    """
    kind = filler["type"]
    numbers = {
        name: real(f"{kind} filler", name, filler[name]) for name in ("value", "min", "max", "mean", "std")
    }
    if filler["sparse"] >= 0 and kind != "gaussian":
        raise ValueError(
            f"a {kind} filler with sparse: {filler['sparse']} is not supported, leave sparse out"
        )
    if kind == "constant":
        return Constant(numbers["value"])
    if kind == "gaussian":
        return Gaussian(numbers["mean"], numbers["std"], filler["sparse"], transposed=transposed)
    if kind == "uniform":
        if not numbers["min"] <= numbers["max"]:
            raise ValueError(
                f"a uniform filler from {numbers['min']} to {numbers['max']}, expected min <= max"
            )
        return Uniform(numbers["min"], numbers["max"])
    if kind == "positive_unitball":
        return PositiveUnitBall(1 if transposed else 0)
    if kind not in ("xavier", "msra"):
        raise ValueError(
            f"filler {kind!r} is unknown, expected one of {', '.join(FILLERS)}{nearest(kind, FILLERS)}"
        )
    norm = filler["variance_norm"]
    fan = "average" if norm == "AVERAGE" else "in"
    scaled = Scaled(1.0, fan, "uniform") if kind == "xavier" else Scaled(2.0, fan, "normal")
    if vector:
        return WithFans(WithFans(scaled, "swapped") if norm == "FAN_OUT" else scaled, "vector")
    if norm != "AVERAGE" and (norm == "FAN_OUT") != transposed:
        return WithFans(scaled, "swapped")
    return scaled


def filler_of(initializer: Initializer, fan_in: int, fan_out: int) -> dict[str, Any] | None:
    """Return the fields of the FillerParameter that draws as ``initializer`` does, None if there is none."""
    if isinstance(initializer, Constant):
        return {"type": "constant", "value": initializer.value}
    if isinstance(initializer, Gaussian):
        mean = {"mean": initializer.mean} if initializer.mean else {}
        sparse = {"sparse": initializer.sparse} if initializer.sparse >= 0 else {}
        return {"type": "gaussian", **mean, "std": initializer.std, **sparse}
    if isinstance(initializer, Uniform):
        return {"type": "uniform", "min": initializer.low, "max": initializer.high}
    if initializer in (initializers.lecun_uniform, initializers.glorot_uniform):
        average = {"variance_norm": "AVERAGE"} if initializer == initializers.glorot_uniform else {}
        return {"type": "xavier", **average}
    if initializer == initializers.he_normal:
        return {"type": "msra"}
    if not isinstance(initializer, Scaled):
        return None
    fan = fan_in if initializer.fan == "in" else (fan_in + fan_out) / 2
    deviation = math.sqrt(initializer.numerator / fan)
    if initializer.distribution == "normal":
        return {"type": "gaussian", "std": deviation}
    limit = math.sqrt(3.0) * deviation
    return {"type": "uniform", "min": -limit, "max": limit}
