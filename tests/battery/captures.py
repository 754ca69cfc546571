"""Captured against uncaptured training: networks, losses, optimizers, schedules and options drawn all at once.

Single steps, long stretches of `fit` in order and shuffled, short last batches, weights, validation,
callbacks, changes under way: everything a trainer has learned is equal to the last bit, and so are all
losses.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import numpy as np
from common import Part, bytes_of, progress_of

import relu_layers as rl

NORMALIZATIONS = ("valid", "full", "batch_size", "none")
part = Part("captures")


def drawn_schedule(of: Random) -> Any:
    base = of.choice((0.002, 0.01, 0.05))
    s = rl.schedules
    made = of.choice(
        [
            lambda: base,
            lambda: s.Constant(base),
            lambda: s.Step(base, 0.7, of.randint(1, 9)),
            lambda: s.Exponential(base, 0.99),
            lambda: s.Inverse(base, 0.05, 0.75),
            lambda: s.MultiStep(base, 0.5, [3, 8, 30]),
            lambda: s.Polynomial(base, 1.5, 200),
            lambda: s.Sigmoid(base, -0.1, 20),
            lambda: s.Cosine(base, 120, base / 10),
            lambda: s.Warmup(s.Cosine(base, 100), of.randint(1, 12)),
            lambda: lambda updates: base / (1 + updates),
        ]
    )
    return made()


def drawn_optimizer(of: Random) -> Any:
    options: dict[str, Any] = {}
    if of.random() < 0.5:
        options["weight_decay"] = of.choice((0.0, 0.001, 0.1))
    if of.random() < 0.3:
        options["multipliers"] = {"0.weight": (of.choice((0.0, 0.5, 2.0)), of.choice((0.0, 1.0, 3.0)))}
    coupled = options | ({"regularization": "l1"} if of.random() < 0.3 else {})
    rate = drawn_schedule(of)
    momentum = of.choice((0.0, 0.9))
    made = of.choice(
        [
            lambda: rl.SGD(rate, momentum=momentum, nesterov=momentum > 0 and of.random() < 0.5, **coupled),
            lambda: rl.AdaGrad(rate, epsilon=1e-6, **coupled),
            lambda: rl.RMSProp(rate, rho=0.9, **coupled),
            lambda: rl.AdaDelta(rate, rho=0.8, **coupled),
            lambda: rl.Adam(rate, beta1=0.8, epsilon_hat=of.random() < 0.5, **coupled),
            lambda: rl.AdamW(rate, beta2=0.9, epsilon_hat=of.random() < 0.5, **options),
        ]
    )
    return made()


def drawn_layers(of: Random, inputs: int, outputs: int) -> list[Any]:
    layers: list[Any] = []
    width = inputs
    for _ in range(of.randint(0, 3)):
        next_width = of.choice((1, 3, 8, 17, 40))
        layers.append(rl.Dense(width, next_width, bias=bool(layers) and of.random() < 0.7))
        width = next_width
        makers = [
            rl.ReLU,
            lambda: rl.ReLU(of.choice((0.1, -0.5, 1.0))),
            partial(rl.PReLU, of.choice((1, width))),
            lambda: rl.ELU(of.choice((0.5, 1.0))),
            rl.Sigmoid,
            rl.SiLU,
            rl.SELU,
            rl.GELU,
            lambda: rl.GELU("tanh"),
            rl.Softplus,
            lambda: rl.Clip(-0.2, 0.5),
            rl.Tanh,
            lambda: rl.Threshold(0.1, -0.2),
            rl.Softmax,
            rl.LogSoftmax,
            lambda: rl.Dropout(of.choice((0.2, 0.5))),
        ]
        layers += [of.choice(makers)() for _ in range(of.randint(0, 2))]
    return [*layers, rl.Dense(width, outputs)]


def drawn_task(of: Random, dtype: Any) -> tuple[list[Any], Any, Any, Any]:
    """Return layers, loss, inputs and targets."""
    rng = np.random.default_rng(of.randrange(2**32))
    rows, inputs, outputs = of.choice((40, 150, 600)), of.randint(1, 12), of.randint(2, 7)
    layers = drawn_layers(of, inputs, outputs)
    x = rng.standard_normal((rows, inputs)).astype(dtype)
    labels = rng.integers(0, outputs, rows).astype(of.choice((np.int64, np.int64, np.int32, np.uint8)))
    normalization = of.choice(NORMALIZATIONS)
    kind = of.randrange(4)
    if kind == 0:
        return (
            layers,
            rl.SquaredError(0.5, normalization),
            x,
            rng.standard_normal((rows, outputs)).astype(dtype),
        )
    if kind == 1:
        targets = (rng.random((rows, outputs)) < 0.4).astype(dtype)
        ignored = of.choice((None, 0))
        return layers, rl.SigmoidCrossEntropy(ignore_label=ignored, normalization=normalization), x, targets
    if of.random() < 0.3:
        layers.append(of.choice((rl.Softmax, rl.LogSoftmax))())
    options: dict[str, Any] = {"normalization": normalization, "label_smoothing": of.choice((0.0, 0.1))}
    if of.random() < 0.3:
        options["class_weight"] = rng.uniform(0.5, 2.0, outputs)
    if kind == 2:
        shares = rng.random((rows, outputs))
        targets = (shares / shares.sum(axis=1, keepdims=True)).astype(dtype)
        return layers, rl.SoftmaxCrossEntropy(**options), x, targets
    if of.random() < 0.3:
        options["ignore_label"] = of.randrange(outputs)
    return layers, rl.SoftmaxCrossEntropy(**options), x, labels


class Watcher(rl.Callback):
    """Keeps every loss, and changes public attributes under way."""

    def __init__(self, change_at: int) -> None:
        self.change_at = change_at
        self.seen: list[tuple[int, float]] = []

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        self.seen.append((step, loss))
        if step == self.change_at:
            trainer.optimizer.learning_rate = 0.003
            trainer.clip_norm = 0.7


def trained(seed: str, capture: bool) -> bytes:
    """Draw everything from ``seed``, train, and return all there is to compare."""
    of = Random(seed)
    dtype = of.choice((np.float32, np.float64))
    layers, loss, x, target = drawn_task(of, dtype)
    model = rl.Sequential(*layers, dtype=dtype, rng=3)
    watchers = [Watcher(of.randint(1, 60))] if of.random() < 0.3 else []
    trainer = rl.Trainer(
        model,
        loss,
        drawn_optimizer(of),
        clip_norm=of.choice((None, None, 0.3, 5.0)),
        accumulate=of.choice((1, 1, 2, 3)),
        callbacks=watchers,
        rng=5,
        capture=capture,
    )
    weight = np.random.default_rng(1).uniform(0, 2, len(x)).astype(dtype) if of.random() < 0.3 else None
    batch = of.choice((1, 4, 7, 16, 32))
    found: list[Any] = []
    try:
        for _ in range(of.randint(0, 6)):
            first = of.randrange(len(x) - batch + 1)
            rows = slice(first, first + batch)
            given = None if weight is None else weight[rows]
            found.append(trainer.step(x[rows], target[rows], sample_weight=given))
        for _ in range(of.randint(1, 2)):
            trainer.fit(
                x,
                target,
                epochs=of.choice((1, 3, 10)),
                batch_size=batch,
                shuffle=of.random() < 0.6,
                validation=(x[:20], target[:20]) if of.random() < 0.3 else None,
                sample_weight=weight,
            )
    except (rl.DivergenceError, ValueError) as error:
        found.append(str(error))
        refused.append(seed)
    found += [watcher.seen for watcher in watchers] + [model(x[:30]), trainer.steps]
    return bytes_of(found) + progress_of(trainer)


refused: list[str] = []
for figure in ("trainings", "wrong"):
    part.count(figure, 0)
for number in range(part.size(40, 1000)):
    seed = f"{part.seed} {number}"
    part.count("trainings")
    try:
        part.check(trained(seed, True) == trained(seed, False), f"draw {seed!r}: other bits")
    except Exception as error:
        part.check(False, f"draw {seed!r}: {error!r}")
part.count("ended by an error that both raise", len(set(refused)))
part.finish()
