"""Every way in which an input and an output of up to five elements can lie in sixteen.

What shares memory is a ValueError before the first write, but for the exact alias where the op allows it; what does not
share any gives the result of separate arrays, and nothing beside the output changes. An output with gaps is
refused. The same with rows of 64 elements, a few vectors, at all distances.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from common import Part

import relu_layers as rl

Op = Callable[[Any, Any], Any]
PLACES, LONGEST, LONG = 16, 5, 64
ops = rl.ops
other = np.random.default_rng(2).standard_normal(LONG).astype(np.float32)
# In these the output may be exactly the input.
IN_PLACE = {
    "relu_forward",
    "relu_forward, slope",
    "relu_backward, dy",
    "elu_forward",
    "elu_backward",
    "sigmoid_forward",
    "silu_backward, dy",
    "gelu_backward, dy",
    "selu_forward",
    "softplus_forward",
    "clip_forward",
    "tanh_forward",
    "tanh_backward",
    "softmax_forward",
    "softmax_backward",
    "log_softmax_forward",
    "squared_error",
    "sigmoid_cross_entropy",
    "dropout_backward",
}
OPS: dict[str, Op] = {
    "relu_forward": lambda x, out: ops.relu_forward(x, out=out),
    "relu_forward, slope": lambda x, out: ops.relu_forward(x, 0.1, out=out),
    "relu_forward, negative slope": lambda x, out: ops.relu_forward(x, -0.5, out=out),
    "relu_backward, x": lambda x, out: ops.relu_backward(x, other[: x.size], 0.1, out=out),
    "relu_backward, dy": lambda x, out: ops.relu_backward(other[: x.size], x, 0.1, out=out),
    "elu_forward": lambda x, out: ops.elu_forward(x, 1.5, out=out),
    "elu_backward": lambda x, out: ops.elu_backward(other[: x.size], x, 1.5, out=out),
    "sigmoid_forward": lambda x, out: ops.sigmoid_forward(x, out=out),
    "silu_forward": lambda x, out: ops.silu_forward(x, out=out),
    "silu_backward, x": lambda x, out: ops.silu_backward(x, other[: x.size], out=out),
    "silu_backward, dy": lambda x, out: ops.silu_backward(other[: x.size], x, out=out),
    "gelu_forward": lambda x, out: ops.gelu_forward(x, out=out),
    "gelu_backward, x": lambda x, out: ops.gelu_backward(x, other[: x.size], "tanh", out=out),
    "gelu_backward, dy": lambda x, out: ops.gelu_backward(other[: x.size], x, out=out),
    "selu_forward": lambda x, out: ops.selu_forward(x, out=out),
    "softplus_forward": lambda x, out: ops.softplus_forward(x, out=out),
    "clip_forward": lambda x, out: ops.clip_forward(x, -0.5, 0.5, out=out),
    "tanh_forward": lambda x, out: ops.tanh_forward(x, out=out),
    "tanh_backward": lambda x, out: ops.tanh_backward(x, x, out=out),
    "threshold_forward": lambda x, out: ops.threshold_forward(x, 0.1, 2.0, out=out),
    "softmax_forward": lambda x, out: ops.softmax_forward(x, out=out),
    "softmax_backward": lambda x, out: ops.softmax_backward(other[: x.size], x, out=out),
    "log_softmax_forward": lambda x, out: ops.log_softmax_forward(x, out=out),
    "dropout_forward": lambda x, out: ops.dropout_forward(x, 0.5, key=1, counter=2, out=out),
    "dropout_backward": lambda x, out: ops.dropout_backward(x, 0.5, key=1, counter=2, out=out),
    "squared_error": lambda x, out: ops.squared_error(x, other[: x.size], out=out)[1],
    "sigmoid_cross_entropy": lambda x, out: ops.sigmoid_cross_entropy(x, other[: x.size], out=out)[1],
}


Layout = tuple[int, int, int]  # first place, length, stride


def view(buffer: Any, layout: Layout) -> Any:
    place, length, stride = layout
    return np.lib.stride_tricks.as_strided(buffer[place:], (length,), (4 * stride,))


def allowed(name: str, i: Layout, o: Layout) -> bool:
    """Return whether the op must take an input and an output that lie so."""
    if o[1] > 1 and o[2] != 1:
        return False
    if name in IN_PLACE and (i == o or (i[0] == o[0] and i[1] == 1)):
        return True
    places = [set(range(first, first + stride * length, stride)) for first, length, stride in (i, o)]
    return not places[0] & places[1]


def try_pairs(
    part: Part, name: str, layouts: list[Layout], pairs: list[tuple[Layout, Layout]], size: int
) -> None:
    op = OPS[name]
    source = np.random.default_rng(1).standard_normal(size).astype(np.float32)
    wanted = {i: np.array(op(view(source, i).copy(), np.empty(i[1], np.float32))) for i in layouts}
    for i, o in pairs:
        buffer = source.copy()
        after = source.copy()
        taken = True
        try:
            op(view(buffer, i), view(buffer, o))
            view(after, o)[...] = wanted[i]
        except ValueError:
            taken = False
        right = taken == allowed(name, i, o) and buffer.tobytes() == after.tobytes()
        part.check(right, f"{name}: {'taken' if taken else 'refused'}, input {i}, output {o}")
    part.count("pairs", len(pairs))


def main() -> None:
    part = Part("overlaps")
    for figure in ("pairs", "wrong"):
        part.count(figure, 0)
    strides = part.size((-1, 1, 2), (-3, -2, -1, 1, 2, 3))
    short = [
        (place, length, stride)
        for length in range(1, LONGEST + 1)
        for stride in strides
        for place in range(PLACES)
        if 0 <= place + (length - 1) * stride < PLACES
    ]
    long = [(place, LONG, 1) for place in range(2 * LONG)]
    for name in OPS:
        try_pairs(part, name, short, [(i, o) for i, o in product(short, short) if i[1] == o[1]], PLACES)
        try_pairs(part, name, long, [(long[LONG], o) for o in long], 3 * LONG)
    part.finish()


main()
