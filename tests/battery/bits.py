"""The same bits for 1, 2, 3, 4, 7 and 16 threads, on every fused target, at every address and place in a batch.

Forward, backward, training, evaluation and inference of random networks in both dtypes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from common import Part, bytes_of

import relu_layers as rl
from relu_layers import _core

THREADS = (1, 2, 3, 4, 7, 16)
part = Part("bits")
networks = part.size(12, 400)
targets = [name for name in rl.build_info()["targets"] if name != "baseline"] or ["baseline"]


def shifted(array: Any, bytes_off: int) -> Any:
    """Return a copy that begins that many bytes behind a multiple of 64."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + bytes_off
    copy: Any = np.ndarray(array.shape, array.dtype, memory.data, start)
    copy[...] = array
    return copy


# One of every layer without weights of its own but PReLU's, made for a number of features.
ACTIVATIONS: tuple[Callable[[int], Any], ...] = (
    lambda features: rl.ReLU(0.1),
    lambda features: rl.ELU(),
    lambda features: rl.Tanh(),
    lambda features: rl.PReLU(features),
    lambda features: rl.Sigmoid(),
    lambda features: rl.SiLU(),
    lambda features: rl.GELU(),
    lambda features: rl.GELU("tanh"),
    lambda features: rl.SELU(),
    lambda features: rl.Softplus(),
    lambda features: rl.Clip(-0.5, 0.5),
    lambda features: rl.Threshold(0.1, -0.2),
    lambda features: rl.Dropout(0.3),
)


class Network:
    """A random network with random rows and labels."""

    def __init__(self, seed: str) -> None:
        of = self.random = Random(seed)
        rng = np.random.default_rng(of.randrange(2**32))
        self.dtype = of.choice((np.float32, np.float64))
        self.sizes = [of.choice((1, 3, 17, 64, 90)) for _ in range(of.randint(1, 3))] + [of.randint(2, 40)]
        if of.random() < 0.2:
            self.sizes[0] = 1100  # more than two blocks of a product
        self.rows = of.randint(6, 160)
        self.x = rng.standard_normal((self.rows, self.sizes[0])).astype(self.dtype)
        self.labels = rng.integers(0, self.sizes[-1], self.rows)
        self.kinds = [of.randrange(len(ACTIVATIONS)) for _ in self.sizes]
        self.options = {"clip_norm": of.choice((None, 0.5)), "accumulate": of.choice((1, 2))}

    def model(self) -> rl.Sequential:
        layers: list[Any] = []
        for index, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            layers.append(rl.Dense(inputs, outputs))
            if index < len(self.sizes) - 2:
                layers.append(ACTIVATIONS[self.kinds[index]](outputs))
        return rl.Sequential(*(layers or [rl.ReLU(0.1), rl.Softmax()]), dtype=self.dtype, rng=3)

    def everything(self) -> bytes:
        model = self.model()
        y = model.forward(self.x, training=True)
        found: list[Any] = [y, model.backward(np.cos(y)), model.flat_grads]
        trainer = rl.Trainer(self.model(), rl.SoftmaxCrossEntropy(), rl.Adam(0.01), rng=1, **self.options)
        found.append(trainer.fit(self.x, self.labels, epochs=2, batch_size=17)["loss"])
        found += [trainer.model.flat_params, trainer.model(self.x), trainer.evaluate(self.x, self.labels)]
        return bytes_of(found)


def one(seed: str) -> None:
    network = Network(seed)
    wanted: bytes | None = None
    for target in targets:
        rl.use_target(target)
        for threads in THREADS:
            rl.set_num_threads(threads)
            found = network.everything()
            wanted = found if wanted is None else wanted
            part.check(found == wanted, f"{seed}: {target} with {threads} threads")
            part.count("runs")
    model, x = network.model(), network.x
    y = model(x)
    size = np.dtype(network.dtype).itemsize
    for bytes_off in (*range(0, 64, size), 1, 3, 7, 13, 61):
        part.check(model(shifted(x, bytes_off)).tobytes() == y.tobytes(), f"{seed}: {bytes_off} bytes off")
        part.count("addresses")
    for _ in range(8):
        first = network.random.randrange(len(x))
        for count in (1, 5):
            rows = slice(first, first + count)
            part.check(model(x[rows]).tobytes() == y[rows].tobytes(), f"{seed}: rows {rows} alone")
            part.count("places in a batch")
    many = model(np.concatenate([x] * 9)).reshape(9, *y.shape)
    part.check(all(each.tobytes() == y.tobytes() for each in many), f"{seed}: nine batches in one")
    part.check(model(np.asfortranarray(x)).tobytes() == y.tobytes(), f"{seed}: column-major rows")


for figure in ("networks", "wrong", "runs"):
    part.count(figure, 0)
part.remarks.append("targets " + " ".join(targets))
_core.set_parallel_threshold(0.0)
for number in range(networks):
    part.count("networks")
    one(f"{part.seed} {number}")
part.finish()
