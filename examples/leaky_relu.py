"""Leaky ReLU: a slope of 0.01 below zero, and why one might want it.

A ReLU unit whose input is below zero for every row is dead: its output is 0, its derivative is 0, so no
update ever reaches its weights again. Here every hidden unit starts dead, on purpose: the inputs lie between
-1 and 1, the weights between -1.8 and 1.8, and a bias of -3 keeps all sums below zero. With a slope of 0.01
one hundredth of the gradient passes, and enough units come back to solve the problem.

Run it with ``python examples/leaky_relu.py``.
"""

from __future__ import annotations

import numpy as np

import relu_layers as rl

SLOPE = 0.01


def train(negative_slope: float) -> tuple[rl.History, rl.Sequential]:
    """Learn y = |x - 0.3| with 16 hidden units that all start dead."""
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
    y = np.abs(x - np.float32(0.3))
    model = rl.Sequential(
        rl.Dense(1, 16, weight_init="lecun_uniform", bias_init=-3.0),
        rl.ReLU(negative_slope),
        rl.Dense(16, 1),
        rng=0,
    )
    trainer = rl.Trainer(model, rl.SquaredError(), rl.Adam(0.05), rng=1)
    history = trainer.fit(x, y, epochs=400, batch_size=16, progress=False)
    return history, model


def main() -> None:
    """Show the two slopes on a few numbers, then train with each."""
    x = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    dy = np.ones_like(x)
    print("x             ", x)
    for slope in (0.0, SLOPE):
        print(f"slope {slope:4}:  y ", rl.ops.relu_forward(x, slope))
        print("             dx ", rl.ops.relu_backward(x, dy, slope))

    for slope in (0.0, SLOPE):
        history, model = train(slope)
        dead = history["dead_units"][:, 0]
        print(
            f"{model.layers[1]!r:10}  dead units {dead[0]:2d} -> {dead[-1]:2d}, "
            f"loss {history['loss'][0]:7.4f} -> {history['loss'][-1]:.4f}"
        )


if __name__ == "__main__":
    main()
