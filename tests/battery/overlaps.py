"""Every way in which an input and an output of up to five elements can lie in sixteen.

Either the result is that of separate arrays and nothing beside the output changes, or a ValueError comes
before the first write. Layouts of one element or of equal memory (exact aliases) count too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Part

import relu_layers as rl

Op = Callable[[Any, Any], Any]
PLACES, LONGEST = 16, 5
ops = rl.ops
other = np.random.default_rng(2).standard_normal(PLACES).astype(np.float32)
OPS: dict[str, Op] = {
    "relu_forward": lambda x, out: ops.relu_forward(x, out=out),
    "relu_forward, slope": lambda x, out: ops.relu_forward(x, 0.1, out=out),
    "relu_forward, negative slope": lambda x, out: ops.relu_forward(x, -0.5, out=out),
    "relu_backward, x": lambda x, out: ops.relu_backward(x, other[: x.size], 0.1, out=out),
    "relu_backward, dy": lambda x, out: ops.relu_backward(other[: x.size], x, 0.1, out=out),
    "elu_forward": lambda x, out: ops.elu_forward(x, 1.5, out=out),
    "elu_backward": lambda x, out: ops.elu_backward(other[: x.size], x, 1.5, out=out),
    "sigmoid_forward": lambda x, out: ops.sigmoid_forward(x, out=out),
    "tanh_forward": lambda x, out: ops.tanh_forward(x, out=out),
    "tanh_backward": lambda x, out: ops.tanh_backward(x, x, out=out),
    "threshold_forward": lambda x, out: ops.threshold_forward(x, 0.1, 2.0, out=out),
    "softmax_forward": lambda x, out: ops.softmax_forward(x, out=out),
    "softmax_backward": lambda x, out: ops.softmax_backward(other[: x.size], x, out=out),
    "log_softmax_forward": lambda x, out: ops.log_softmax_forward(x, out=out),
    "dropout_forward": lambda x, out: ops.dropout_forward(x, 0.5, key=1, counter=2, out=out),
    "squared_error": lambda x, out: ops.squared_error(x, other[: x.size], out=out)[1],
    "sigmoid_cross_entropy": lambda x, out: ops.sigmoid_cross_entropy(x, other[: x.size], out=out)[1],
}


def view(buffer: Any, place: int, length: int, stride: int) -> Any:
    return np.lib.stride_tricks.as_strided(buffer[place:], (length,), (4 * stride,))


def main() -> None:
    part = Part("overlaps")
    for figure in ("pairs", "wrong"):
        part.count(figure, 0)
    strides = part.size((-1, 1, 2), (-3, -2, -1, 1, 2, 3))
    views = [
        (place, length, stride)
        for length in range(1, LONGEST + 1)
        for stride in strides
        for place in range(PLACES)
        if 0 <= place + (length - 1) * stride < PLACES
    ]
    source = np.random.default_rng(1).standard_normal(PLACES).astype(np.float32)
    pairs = [(i, o) for i, o in itertools.product(views, views) if i[1] == o[1]]
    for name, op in OPS.items():
        wanted = {i: np.array(op(view(source, *i).copy(), np.empty(i[1], np.float32))) for i in views}
        for i, o in pairs:
            buffer = source.copy()
            after = source.copy()
            try:
                op(view(buffer, *i), view(buffer, *o))
                view(after, *o)[...] = wanted[i]
            except ValueError:
                pass
            part.check(buffer.tobytes() == after.tobytes(), f"{name}: input {i}, output {o}")
        part.count("pairs", len(pairs))
    part.finish()


main()
