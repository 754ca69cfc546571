"""The usual network in one call: Dense layers with a ReLU between each two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from relu_layers._support.arguments import integer
from relu_layers._support.configured import Ops
from relu_layers.layers import Dense, Layer, ReLU
from relu_layers.model import Sequential


def mlp(
    sizes: Sequence[int],
    *,
    negative_slope: float = 0.0,
    dtype: Any = np.float32,
    rng: np.random.Generator | int | None = None,
    ops: Ops | None = None,
) -> Sequential:
    """Return Dense layers of the given sizes with a ReLU between each two: ``mlp([784, 128, 10])``.

    Parameters
    ----------
    sizes : sequence of int
        Input features, hidden sizes, outputs; at least two numbers.
    negative_slope : float, keyword
        Of every ReLU.
    dtype, rng, ops
        As for `Sequential`.
    """
    widths = [integer("mlp", f"sizes[{i}]", size, minimum=1) for i, size in enumerate(sizes)]
    if len(widths) < 2:
        raise ValueError(f"mlp: sizes is {list(sizes)}, expected at least two: inputs and outputs")
    layers: list[Layer] = [Dense(widths[0], widths[1])]
    for inputs, outputs in pairwise(widths[1:]):
        layers += [ReLU(negative_slope), Dense(inputs, outputs)]
    return Sequential(*layers, dtype=dtype, rng=rng, ops=ops)
