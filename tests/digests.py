"""Digests of results, one for each group of ops and element type: ``python tests/digests.py`` writes data/digests.json.

Two builds compute the same bits where their digests are the same: another compiler, another processor, another system.
The inputs come from a generator whose numbers NumPy has promised never to change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import relu_layers as rl

FILE = Path(__file__).resolve().parent / "data" / "digests.json"
Array = Any
PRODUCTS = ((1, 33, 20), (7, 600, 65), (64, 30, 10), (33, 1100, 17), (150, 90, 1))
# Name of the pair, what its forward takes beside x, and whether its backward works from y.
PAIRS: tuple[tuple[str, tuple[float | str, ...], bool], ...] = (
    ("relu", (0.01,), False),
    ("clip", (), True),
    ("threshold", (0.2, -1.0), False),
    ("elu", (1.0,), True),
    ("selu", (), True),
    ("sigmoid", (), True),
    ("silu", (), False),
    ("softplus", (), True),
    ("tanh", (), True),
    ("gelu", ("none",), False),
    ("gelu", ("tanh",), False),
)
OPTIMIZERS: tuple[Any, ...] = (
    lambda: rl.SGD(0.1, momentum=0.9, nesterov=True),
    lambda: rl.AdaGrad(0.05),
    lambda: rl.RMSProp(0.01),
    lambda: rl.AdaDelta(),
    lambda: rl.Adam(0.01),
    lambda: rl.AdamW(0.01),
)


class Numbers:
    """Arrays of one element type from a fixed stream."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.stream = np.random.RandomState(3)

    def __call__(self, *shape: int, scale: float = 4.0) -> Array:
        return ((self.stream.random_sample(shape) - 0.5) * scale).astype(self.dtype)

    def labels(self, classes: int, rows: int) -> Array:
        return self.stream.randint(0, classes, rows)


def products(numbers: Numbers) -> Iterator[Array]:
    for batch, inputs, outputs in PRODUCTS:
        x, weight, bias, dy = (
            numbers(*shape) for shape in ((batch, inputs), (inputs, outputs), (outputs,), (batch, outputs))
        )
        yield rl.ops.dense_forward(x, weight, bias)
        yield rl.ops.dense_forward(x, weight, bias, negative_slope=0.1)
        yield from rl.ops.dense_backward(x, weight, dy)
        yield rl.ops.matmul(dy, weight, transpose_b=True)
        yield rl.ops.matmul(np.asfortranarray(x), weight.copy("F"))


def pair(numbers: Numbers, name: str, settings: tuple[float | str, ...], from_y: bool) -> Iterator[Array]:
    for shape in ((37, 53), (5,), (3, 4, 7)):
        x, dy = numbers(*shape, scale=12.0), numbers(*shape)
        y = getattr(rl.ops, f"{name}_forward")(x, *settings)
        yield y
        backward = settings[:1]
        yield getattr(rl.ops, f"{name}_backward")(y if from_y else x, dy, *backward)


def others(numbers: Numbers) -> Iterator[Array]:
    x, dy, slope = numbers(37, 53), numbers(37, 53), numbers(53)
    yield rl.ops.prelu_forward(x, slope)
    yield from rl.ops.prelu_backward(x, slope, dy)
    yield rl.ops.dropout_forward(x, 0.3, key=5, counter=9)
    yield rl.ops.dropout_backward(dy, 0.3, key=5, counter=9)
    yield np.array(rl.ops.sum_of_squares(x.ravel()))


def softmaxes(numbers: Numbers) -> Iterator[Array]:
    for name in ("softmax", "log_softmax"):
        for axis in (-1, 0):
            for columns in (2, 10, 53):
                x, dy = numbers(37, columns, scale=20.0), numbers(37, columns)
                y = getattr(rl.ops, f"{name}_forward")(x, axis)
                yield y
                yield getattr(rl.ops, f"{name}_backward")(y, dy, axis)


def losses(numbers: Numbers) -> Iterator[Array]:
    for columns in (2, 10, 53):
        x, labels, weight = numbers(37, columns), numbers.labels(columns, 37), abs(numbers(37))
        of_class = abs(numbers(columns))
        for found in (
            rl.ops.softmax_cross_entropy(x, labels),
            rl.ops.softmax_cross_entropy(x, labels, class_weight=of_class, label_smoothing=0.1),
            rl.ops.sigmoid_cross_entropy(x, (numbers(37, columns) > 0).astype(x.dtype), sample_weight=weight),
            rl.ops.squared_error(x, numbers(37, columns), sample_weight=weight),
        ):
            yield from map(np.asarray, found)


def training(numbers: Numbers, optimizer: Any) -> Iterator[Array]:
    model = rl.mlp([20, 33, 5], negative_slope=0.01, dtype=numbers.dtype, rng=0)
    model.flat_params[:] = numbers(model.flat_params.size, scale=0.5)
    x, labels = numbers(64, 20), numbers.labels(5, 64)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), optimizer, clip_norm=1.0, rng=0)
    for step in range(20):
        rows = slice(step % 2 * 32, step % 2 * 32 + 32)
        yield np.array(trainer.step(x[rows], labels[rows]))
    trainer.fit(x, labels, epochs=2, batch_size=10, shuffle=False)
    yield model.flat_params.copy()
    yield model(x)


def digest(arrays: Iterator[Array]) -> str:
    """Return the first hexadecimal digits of the arrays' SHA-256, NaNs made one kind, in little-endian order."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(
            np.where(array == array, array, array.dtype.type(np.nan)).astype(array.dtype.newbyteorder("<"))
        )
    return total.hexdigest()[:16]


def digests(target: str) -> dict[str, str]:
    """Return the digest of every group on ``target``."""
    before = rl.target()
    rl.use_target(target)
    found = {}
    for dtype in (np.float32, np.float64):
        groups: dict[str, Iterator[Array]] = {
            "products": products(Numbers(dtype)),
            **{
                " ".join((one[0], *filter(str.isalpha, map(str, one[1])))): pair(Numbers(dtype), *one)
                for one in PAIRS
            },
            "others": others(Numbers(dtype)),
            "softmax": softmaxes(Numbers(dtype)),
            "losses": losses(Numbers(dtype)),
            **{f"training {type(make()).__name__}": training(Numbers(dtype), make()) for make in OPTIMIZERS},
        }
        found.update({f"{name} {np.dtype(dtype).name}": digest(arrays) for name, arrays in groups.items()})
    rl.use_target(before)
    return found


def kind(target: str) -> str:
    """Return the name under which the file has a target's digests: all that fuse multiply-adds share one."""
    return target if target == "baseline" else "fused"


if __name__ == "__main__":
    FILE.write_text(
        json.dumps({kind(name): digests(name) for name in rl.build_info()["targets"]}, indent=1) + "\n"
    )
