"""Swap ReLU for tanh: it is one line.

Two half moons of 200 points each, one class per moon. `build` gets the activation as an object; everything
else (weights to start from, batches, optimizer) is the same for both runs.

Run it with ``python examples/tanh_for_relu.py``.
"""

from __future__ import annotations

import numpy as np

import relu_layers as rl


def two_moons(points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return points (2 * points, 2) in float32 and the number of the moon that each lies on."""
    angle = rng.uniform(0, np.pi, points)
    upper = np.column_stack([np.cos(angle), np.sin(angle)])
    lower = np.column_stack([1 - np.cos(angle), 0.5 - np.sin(angle)])
    x = np.concatenate([upper, lower]) + rng.normal(0, 0.1, (2 * points, 2))
    return x.astype(np.float32), np.repeat([0, 1], points)


def build(activation: rl.ReLU | rl.Tanh) -> rl.Sequential:
    """Return the net; a ReLU net and a tanh net differ in the line of the activation only."""
    return rl.Sequential(
        rl.Dense(2, 16, weight_init="lecun_normal"),
        activation,
        rl.Dense(16, 2, weight_init="lecun_normal"),
        rng=0,
    )


def train(activation: rl.ReLU | rl.Tanh) -> tuple[rl.History, dict[str, float], dict[str, float]]:
    """Return the history of 60 epochs, and loss and accuracy before the first and after the last."""
    x, y = two_moons(200, np.random.default_rng(1))
    trainer = rl.Trainer(build(activation), rl.SoftmaxCrossEntropy(), rl.Adam(0.02), rng=2)
    before = trainer.evaluate(x, y)
    history = trainer.fit(x, y, epochs=60, batch_size=32, progress=False)
    return history, before, trainer.evaluate(x, y)


def main() -> None:
    """Train once with each activation and print what came out."""
    for activation in (rl.ReLU(), rl.Tanh()):
        _, before, after = train(activation)
        print(
            f"{activation!r:7}  loss {before['loss']:.3f} -> {after['loss']:.3f}, "
            f"accuracy {before['accuracy']:.1%} -> {after['accuracy']:.1%}"
        )


if __name__ == "__main__":
    main()
